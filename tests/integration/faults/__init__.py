"""The faults that the appliance must survive, each as often as it takes to believe it.

    python -m tests.integration.faults [--few] [--tries N] [--json FILE] [NAME…]

prints the table: tries, survived, lost. Survived means that what the row promises held after that
try; lost counts what somebody had been told was kept, or was using, and that was gone.

| file | what |
|---|---|
| `table.py` | what a row is, running rows, printing them |
| `watching.py` | a kernel that counts through everything, and what became of it |
| `kills.py` | programs that are killed, D-Bus and systemd that start anew |
| `by_hand.py` | settings and accounts that somebody changed or broke |
| `visitors.py` | slow clients and servers, servers that don't end, no name server |
| `crowds.py` | ten thousand people, five hundred servers |
| `releases.py` | backups of one release on another |
| `power_cuts.py` | the power goes while people sign up, settings change, backups and upgrades run |
| `machine_trouble.py` | full and read-only disks, clocks that jump, bombs, reboots |
| `disk_trouble.py` | disks without an entry for another file, and with I/O errors |
| `elsewhere.py` | the tests that prove the rest, which are printed below the table |

Rows of the first kind of machine ("native") share one on this host's kernel; the others ("whole")
have one of User-Mode Linux, whose power can be cut. `test_faults.py` runs the native rows a few
times each with every test run.
"""
