# Sourced by the other scripts. Gives ROOT (the checkout) and BIN (its .venv/bin), and two functions:
#   venv [EXTRA]   makes .venv hold tradenode with that extra; does nothing when pyproject.toml has not changed
#   say TEXT…      one line to the person at the terminal (stderr: stdout belongs to the program)
# Packages come through plain pip, so pip's own configuration (index, proxy, wheels) is what decides from where.

set -euo pipefail
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
BIN="$ROOT/.venv/bin"

say() { printf 'tradenode: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

# The first interpreter that runs and is new enough. PYTHON=… names one.
find_python() {
    local candidate candidates=(python3.11 python3.12 python3.13 python3.14 python3 python)
    [ -z "${PYTHON:-}" ] || candidates=("$PYTHON")
    for candidate in "${candidates[@]}"; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    die "Python 3.11 or newer is needed, and none was found${PYTHON:+ under PYTHON=$PYTHON}." \
        "Install one, or name it: PYTHON=/path/to/python3.11 $0"
}

make_venv() {
    local python
    python="$(find_python)"
    say "making .venv with $("$python" -V)"
    rm -rf "$ROOT/.venv"
    "$python" -m venv "$ROOT/.venv" >&2 ||
        die "'$python -m venv' failed (see above). On Debian and Ubuntu the package python3-venv brings it."
}

# What an install depends on: the declaration, the interpreter, and where the checkout stands.
fingerprint() {
    { cat "$ROOT/pyproject.toml"; "$BIN/python" -V; printf '%s\n' "$ROOT"; } | sha256sum | cut -d' ' -f1
}

install() {
    local extra="$1" stamp="$2" want="$3" started=$SECONDS
    say "installing${extra:+ with [$extra]} into .venv (about a minute the first time)"
    "$BIN/python" -m pip install --quiet --quiet --disable-pip-version-check --no-input \
        --editable "$ROOT${extra:+[$extra]}" >&2 ||
        die "pip could not install (see above). Is the package index reachable?"
    printf '%s\n' "$want" >"$stamp"
    say "installed in $((SECONDS - started)) s"
}

# Two scripts started at once must not build one .venv: the second waits. The lock ends with the subshell.
venv() {
    local extra="${1:-}"
    (
        if command -v flock >/dev/null; then
            flock -w 600 9 || die "another script has been installing into .venv for ten minutes; end it first."
        fi
        "$BIN/python" -c 'import pip' >/dev/null 2>&1 || make_venv  # half a .venv is made anew
        stamp="$ROOT/.venv/.installed-${extra:-run}"
        want="$(fingerprint)"
        [ "$(cat "$stamp" 2>/dev/null)" = "$want" ] || install "$extra" "$stamp" "$want"
    ) 9>"$ROOT/.venv.lock"
}
