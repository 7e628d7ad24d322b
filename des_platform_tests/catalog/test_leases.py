from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from des_platform.catalog import containers, leases
from des_platform.catalog.leases import LeaseLost
from des_platform.catalog.tables import leases as table
from des_platform.cli.demo.processes import wait_until
from des_platform_tests.catalog.support import at_once, container
from des_platform_tests.platform import DATASET, DAY

if TYPE_CHECKING:
    from datetime import datetime

    from des_platform.catalog.database import Catalog
    from des_platform.catalog.leases import Lease

NAME = "things/2026-03-01/0"
LONG = 600


def acquire(catalog: Catalog, seconds: float = LONG) -> Lease | None:
    with catalog.begin() as connection:
        return leases.acquire(connection, NAME, seconds=seconds)


def acquire_impatiently(catalog: Catalog) -> None:
    with catalog.begin() as connection:
        connection.execute(sa.text("SET LOCAL lock_timeout = '20ms'"))
        leases.acquire(connection, NAME, seconds=LONG)


def taken(catalog: Catalog, seconds: float = LONG) -> Lease:
    lease = acquire(catalog, seconds)
    assert lease is not None
    return lease


def renew(catalog: Catalog, lease: Lease, seconds: float = LONG) -> bool:
    with catalog.begin() as connection:
        return leases.renew(connection, lease, seconds=seconds)


def check(catalog: Catalog, lease: Lease) -> None:
    with catalog.begin() as connection:
        leases.check(connection, lease)


def expire(catalog: Catalog) -> None:
    """As if the holder had been asleep for longer than the lease lives."""
    with catalog.begin() as connection:
        connection.execute(table.update().values(expires_at=sa.text("clock_timestamp() - interval '1 second'")))


def test_a_lease_that_is_alive_is_nobody_elses(catalog: Catalog) -> None:
    lease = taken(catalog)

    assert acquire(catalog) is None
    check(catalog, lease)


def test_a_lease_that_ran_out_is_taken_over_with_a_larger_token(catalog: Catalog) -> None:
    late = taken(catalog, seconds=0)
    lease = taken(catalog)

    assert lease.token > late.token
    assert acquire(catalog) is None


def test_tokens_go_on_growing_after_a_release(catalog: Catalog) -> None:
    tokens = []
    for _ in range(3):
        lease = taken(catalog)
        tokens.append(lease.token)
        with catalog.begin() as connection:
            leases.release(connection, lease)

    assert tokens == sorted(set(tokens))


def test_leases_of_other_names_do_not_meet(catalog: Catalog) -> None:
    taken(catalog)
    with catalog.begin() as connection:
        assert leases.acquire(connection, "another", seconds=LONG) is not None


def test_of_many_that_want_a_lease_at_once_one_gets_it(catalog: Catalog) -> None:
    assert sum(lease is not None for lease in at_once([partial(acquire, catalog)] * 8)) == 1

    expire(catalog)

    assert sum(lease is not None for lease in at_once([partial(acquire, catalog)] * 8)) == 1


def test_renewal_prolongs_a_lease_that_nobody_took(catalog: Catalog) -> None:
    lease = taken(catalog, seconds=0)

    assert renew(catalog, lease)

    assert acquire(catalog) is None


def test_a_lost_lease_can_neither_be_renewed_nor_released_nor_published_with(catalog: Catalog) -> None:
    late = taken(catalog, seconds=0)
    lease = taken(catalog)

    assert not renew(catalog, late)
    with catalog.begin() as connection:
        leases.release(connection, late)
    with pytest.raises(LeaseLost, match=f"token {late.token} was taken over .token {lease.token} now"):
        check(catalog, late)
    check(catalog, lease)
    assert acquire(catalog) is None


def test_a_lease_that_never_was_is_lost(catalog: Catalog) -> None:
    with pytest.raises(LeaseLost):
        check(catalog, leases.Lease(NAME, "somebody", 1))


def test_nobody_takes_a_lease_over_between_its_check_and_the_commit(catalog: Catalog) -> None:
    lease = taken(catalog, seconds=0)

    with catalog.begin() as publishing:
        leases.check(publishing, lease)
        with pytest.raises(sa.exc.OperationalError, match="lock timeout"):
            acquire_impatiently(catalog)

    assert acquire(catalog) is not None


def test_a_writer_that_lost_its_lease_publishes_nothing(catalog: Catalog) -> None:
    late = taken(catalog, seconds=0)
    lease = taken(catalog)
    with catalog.begin() as connection:
        containers.publish(connection, container("good"), lease)

    with pytest.raises(LeaseLost), catalog.begin() as connection:
        containers.publish(connection, container("stale"), late)

    with catalog.begin() as connection:
        published = containers.published(connection, DATASET.name, DAY, 0)
        assert published is not None
        assert (published.key, published.generation, published.fencing_token) == ("good", 1, lease.token)


def test_a_lease_that_is_held_outlives_its_life(catalog: Catalog) -> None:
    with leases.held(catalog, NAME, seconds=1) as lease:
        first = expiry(catalog)
        wait_until(partial(alone_beyond, catalog, first), 30, "the lease has outlived its first life")
        check(catalog, lease)

    assert acquire(catalog) is not None


def test_a_held_lease_is_free_again_after_an_error(catalog: Catalog) -> None:
    with pytest.raises(KeyError), leases.held(catalog, NAME, seconds=LONG):
        raise KeyError

    assert acquire(catalog) is not None


def test_whoever_wants_a_lease_gets_it_when_its_dead_holders_life_is_over(catalog: Catalog) -> None:
    dead = taken(catalog, seconds=0.2)

    with leases.held(catalog, NAME, seconds=1) as lease:
        assert lease.token > dead.token


def test_whoever_waits_for_a_holder_at_work_gives_up_and_says_so(catalog: Catalog) -> None:
    lease = taken(catalog)

    with pytest.raises(LeaseLost, match=f"{NAME} is held by another writer"), leases.held(catalog, NAME, seconds=0.05):
        pass

    check(catalog, lease)


def test_a_holder_that_was_overtaken_leaves_the_new_holders_lease_alone(catalog: Catalog) -> None:
    with suppress(LeaseLost), leases.held(catalog, NAME, seconds=LONG) as late:
        expire(catalog)
        lease = taken(catalog)
        check(catalog, late)

    check(catalog, lease)
    assert acquire(catalog) is None


def expiry(catalog: Catalog) -> datetime:
    with catalog.begin() as connection:
        moment: datetime = connection.execute(sa.select(table.c.expires_at)).scalar_one()
        return moment


def alone_beyond(catalog: Catalog, moment: datetime) -> bool:
    """Whether it is later than `moment`; nobody else may have got the lease until then."""
    assert acquire(catalog) is None
    with catalog.begin() as connection:
        return bool(connection.scalar(sa.select(sa.func.clock_timestamp() > moment)))
