"""Whether learned parameters help, told from a store alone."""

from itertools import islice

from actors.execution.desk import ExecutionSettings
from actors.execution.learning import ENDED, rules_of
from engine.analytics import Arm, Evaluation, Finding, evaluate
from engine.analytics.evaluation import MAX_PLANS
from engine.kernel import Entropy
from engine.store import Reader

SEED = 1  # of the draws behind the interval: the same history has the same report


def report(reader: Reader, settings: ExecutionSettings | None = None) -> Evaluation:
    """The evaluation of all plans in the store that are over. `settings` are the rules to compare with, the shipped ones if None."""
    settings = settings or ExecutionSettings()
    plans = islice(reader.plans_in(ENDED, reverse=True), MAX_PLANS)
    draw = Entropy(SEED).randrange
    return evaluate(plans, rules_of(settings), draw=draw, half_life_days=settings.forget_after_days)


def as_text(found: Evaluation) -> str:
    """The report as people read it."""
    lines = [
        f"learned parameters: {found.finding} ({found.reason})",
        f"history     {found.plans} plans, {found.rests} rests, {found.judged} plans to judge by {_counted(found.by_choice)}",
        _arm("learned", found.learned),
        _arm("fixed", found.fixed),
    ]
    if found.brier is not None and found.brier_base is not None:
        verdict = "better" if found.brier < found.brier_base else "no better"
        lines.append(
            f"forecast    {found.brier:.4f} against {found.brier_base:.4f} of the average: {verdict} (Brier score, 0 is perfect)"
        )
    if found.finding is Finding.TOO_LITTLE_DATA:
        lines.append("until there is more, orders that leave their pace open are worked by the rules of the settings")
    return "\n".join(lines)


def _arm(name: str, arm: Arm) -> str:
    return f"{name:<11} {arm.plans} plans, real cost {_bp(arm.real_cost_bp)}, expected {_bp(arm.expected_cost_bp)}"


def _bp(value: float | None) -> str:
    return "unknown" if value is None else f"{value:+.2f} bp"


def _counted(choices: dict[str, int]) -> str:
    return f"({', '.join(f'{count} {name}' for name, count in sorted(choices.items()))})" if choices else ""
