"""Faults that the table doesn't run itself, and the tests that do: printed below it."""

from __future__ import annotations

from typing import Final

TESTS: Final = {
    "install: the power goes, a port is taken, the clock is wrong": (
        "test_interrupted_install.py::test_install_with_bad_luck",
    ),
    "upgrade: a migration fails, the new hub ends, the installer is killed": (
        "test_upgrade.py::test_a_release_whose_migration_fails_is_seen_before_anything_is_switched",
        "test_upgrade.py::test_a_release_that_does_not_work_is_gone_back_from",
        "test_upgrade.py::test_an_installer_that_was_killed_is_gone_back_from_by_the_upkeep",
    ),
    "a certificate that has ended, is another's or not for the name; no authority that renews it": (
        "test_https.py::test_certificate_of_ones_own_is_checked_and_a_broken_one_leaves_the_old",
        "test_https.py::test_certificate_of_an_acme_server_is_ordered_renewed_and_kept",
    ),
    "Debian 12 becomes 13 in place": (
        "test_debian_upgrade.py::test_the_hub_is_back_after_the_reboot",
    ),
    "a setting that the hub can't start with": (
        "test_main_job.py::test_a_setting_that_breaks_the_appliance_is_taken_back",
    ),
    "a restore is cut off; a backup of Debian 12 comes to Debian 13": (
        "test_backup.py::test_a_restore_that_was_cut_off_is_mended_before_the_programs_start",
        "test_backup.py::test_a_new_machine_with_another_release_becomes_the_old_one",
    ),
    "a change of packages is killed": (
        "test_environments.py::test_going_back_and_being_interrupted",
    ),
    "the power goes while accounts are made; the hub is killed in the middle of a start": (
        "test_spawner_daemon.py::test_a_power_cut_while_accounts_are_made_heals",
        "test_bad_luck.py::test_hub_killed_in_the_middle_of_a_spawn_agrees_again_by_itself",
    ),
    "a home or a class at its quota": (
        "test_disk.py::test_a_full_home_opens_and_is_cleaned_up",
        "test_disk.py::test_a_class_cannot_fill_the_disk",
    ),
    "twenty servers start at once; all bombs at once in three servers": (
        "test_crowd_disk_clock.py::test_twenty_servers_at_once",
        "test_crowd_disk_clock.py::test_the_hub_answers_whatever_servers_do",
    ),
    "somebody deletes accounts and changes modes: the doctor says so": (
        "test_doctor.py::test_what_is_around_it",
    ),
}  # fmt: skip


def as_list() -> str:
    """Markdown."""
    lines = [
        f"- {fault}: {', '.join(f'`{one}`' for one in tests)}" for fault, tests in TESTS.items()
    ]
    return "\n".join(["Other faults, each a test in `tests/integration`:", "", *lines])
