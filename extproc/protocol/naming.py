"""Where Envoy makes the next try, as dynamic metadata of the ATTEMPT filter, when that is not the plan's next host.

Envoy's route picks the cluster of every try anew (`refresh_cluster_on_retry`), by the group that stands for the try in
`priority_groups`: a planned one is the union cluster, whose policy walks the plan's hosts, `named` the cluster that goes
to `address`. Without metadata all tries are planned. A named instance that refuses the connection is followed by the
plan's next host; where that would be one whose attempt is over, the try after the named one is `stand_in`, of a cluster
that goes to the address of that name.

In the same namespace stands which answers were rejected, whether a try was named or not: a try that failed, which the
service need not hear of, says nothing of its model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from google.protobuf.struct_pb2 import Value

from extproc.protocol import names
from extproc.protocol.wire import ext_proc_pb2 as wire
from extproc.settings.schema import MOST_ATTEMPTS

GROUPS: Final = "priority_groups"
"""Field that Envoy's `priority_group` cluster specifier reads: one group for each try of the request, by name."""

PLANNED_GROUPS: Final = tuple(f"planned_{number}" for number in range(1, MOST_ATTEMPTS + 1))
NAMED: Final = "named"
STAND_IN: Final = "stand_in"
"""Group of the try after a named one, and field that holds its address."""

ADDRESS: Final = "address"
_POSITION: Final = "position"
_NUMBER: Final = "number"
_HOSTS_USED: Final = "hosts_used"
_MADE: Final = "made"
_REJECTED: Final = "rejected"
_CHANCE: Final = "chance"
_MAX_TOKENS: Final = "max_tokens"


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """The instance that was named last.

    Attributes:
        address: `ip:port`; empty when none was named.
        position: Index of the plan's attempt that is made there.
        number: The upstream try that it is for, from 1.
        hosts_used: Hosts of the plan's list that Envoy has used up.
        made: Indexes of the attempts that were made by then, in order.
        chance: P(correct) given that they failed; None when nobody estimated it.
        max_tokens: Output tokens at which the answer is cut; None for no limit.
        stand_in: `ip:port` where the try after it is made, unless another one is named by then; empty for the plan's
            next host.
    """

    address: str = ""
    position: int = 0
    number: int = 0
    hosts_used: int = 0
    made: tuple[int, ...] = ()
    chance: float | None = None
    max_tokens: int | None = None
    stand_in: str = ""


NOTHING_NAMED: Final = Naming()


def write_naming(fields: Mapping[str, Value], naming: Naming) -> None:
    """Send one try to the named instance, perhaps the next one to its stand-in, and the others to the plan's next host.

    Args:
        fields: Of the namespace's struct; they make an entry where it is asked for.
        naming: Where the try `naming.number`, at most `MOST_ATTEMPTS`, is made.
    """
    add = fields[GROUPS].list_value.values.add
    elsewhere = {naming.number: NAMED}
    if naming.stand_in:
        elsewhere[naming.number + 1] = STAND_IN
    for number, group in enumerate(PLANNED_GROUPS, start=1):
        add().struct_value.fields["name"].string_value = elsewhere.get(number, group)
    fields[ADDRESS].string_value = naming.address
    fields[_POSITION].number_value = naming.position
    fields[_NUMBER].number_value = naming.number
    fields[_HOSTS_USED].number_value = naming.hosts_used
    made = fields[_MADE].list_value.values
    for position in naming.made:
        made.add().number_value = position
    # Zero and nothing for None: the fields of an earlier naming would stay otherwise.
    fields[STAND_IN].string_value = naming.stand_in
    fields[_CHANCE].number_value = naming.chance or 0.0
    fields[_MAX_TOKENS].number_value = naming.max_tokens or 0


def write_rejected(fields: Mapping[str, Value], rejected: Sequence[int]) -> None:
    """Note the plan's attempts whose answers were found wrong, in the namespace's struct."""
    values = fields[_REJECTED].list_value.values
    for position in rejected:
        values.add().number_value = position


def read_rejected(message: wire.ProcessingRequest) -> tuple[int, ...]:
    """Return the plan's attempts whose answers were found wrong so far, by index."""
    if not message.HasField("metadata_context"):
        return ()
    namespace = message.metadata_context.filter_metadata.get(names.NEXT_NAMESPACE)
    if namespace is None or _REJECTED not in namespace.fields:
        return ()
    return tuple(int(value.number_value) for value in namespace.fields[_REJECTED].list_value.values)


def read_naming(message: wire.ProcessingRequest) -> Naming:
    """Return what was named last; `NOTHING_NAMED` when nothing was, or by a replica of another version."""
    if not message.HasField("metadata_context"):
        return NOTHING_NAMED
    namespace = message.metadata_context.filter_metadata.get(names.NEXT_NAMESPACE)
    if namespace is None or ADDRESS not in namespace.fields:
        return NOTHING_NAMED
    fields: Mapping[str, Value] = namespace.fields
    if not all(key in fields for key in (_POSITION, _NUMBER, _HOSTS_USED, _MADE)):
        return NOTHING_NAMED
    return Naming(
        address=fields[ADDRESS].string_value,
        position=int(fields[_POSITION].number_value),
        number=int(fields[_NUMBER].number_value),
        hosts_used=int(fields[_HOSTS_USED].number_value),
        made=tuple(int(value.number_value) for value in fields[_MADE].list_value.values),
        chance=fields[_CHANCE].number_value or None,
        max_tokens=int(fields[_MAX_TOKENS].number_value) or None,
        stand_in=fields[STAND_IN].string_value,
    )
