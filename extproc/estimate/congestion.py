"""What an attempt costs everybody: its own time, and what it takes from others, those included that are still to come."""

from __future__ import annotations

from extproc.fleet.snapshot import Floats


def social_seconds(
    own_seconds: Floats, held_up_seconds: Floats, usual_sequences: Floats, crowding: Floats
) -> Floats:
    """Time that all together lose by one more attempt on an instance.

    For n sequences that leave an instance at the rate n / (S (W + H n)) and arrive at the rate r, what one more of
    them adds to the time of all, those included that are still to come, solves

        n - g + r D(n) - n / (S (W + H n)) D(n - 1) = 0,    D(n) = S (W + H (n + 1)) / (1 - r S H)

    (the relative value of Markov decision processes; Krishnan 1990 routes by it). It is the newcomer's own time at the
    present load, over the share of the instance that the arrivals leave free; and since the mean load is
    r S (W + H) / (1 - r S H), that share's inverse is (W + H + H * mean load) / (W + H): how many times longer an
    iteration usually takes than on an idle instance. H holds what a sequence prefills per iteration, its own prompt no
    less than the others': else a long prompt with a short answer would cost others many times itself.

    Args:
        own_seconds: The attempt's time at the present load, were that to stay.
        held_up_seconds: What its prefill, which everybody waits for, takes from those beside it.
        usual_sequences: Mean load of the instance.
        crowding: H / (W + H), in [0, 1].

    Returns:
        Of the arguments' shape, at least `own_seconds`.
    """
    result: Floats = (own_seconds + held_up_seconds) * (1.0 + usual_sequences * crowding)
    return result
