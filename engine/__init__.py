"""The machinery: kernel, model, store, net, venues, simulator. It knows nothing of the roles in `actors`."""

__all__: list[str] = []
