"""Classes: who is in them and teaches them, how people join, what is said, handed out and kept.

Pages (`hub/pages/classroom/`), API (`hub/api/class*.py`, `messages.py`, `visits.py`) and, through
the API, the command line call what is here; parts.py joins it.

Classes and their people:
    classes         the rows: which classes there are, who is in them, who teaches
    class_care      what teachers and admins do with a class and its people
    rights          whose accounts somebody may look after: asked before each of that
    people          what follows when somebody comes or goes: folders, hand-outs, servers
    folders         keeps the class's folder on the machine in line with its people
    no_files        in the place of such folders where the spawner keeps none

Lists of people, from paste to cards:
    roster_tables   a file or pasted text, to rows of cells
    roster_columns  what the columns mean
    roster_rows     who each row is; made_names makes user names
    roster_check    what would become of each row, beside the accounts that there are
    roster_desk     lists that are looked at, and accounts that are being made
    rosters         the above for whoever asks, with their rights
    exports         people and rows as files to download

Joining:
    invites         join codes
    joining         signing up with a code, or joining with the account that one has
    approvals       who waits, letting in, turning away

The class page, messages, visits:
    live            how a class is doing now; class_servers starts and stops
    messages        what is said to whom
    visits          opening a student's server, if the student agrees
    inbox           what one user is to see of both
    streams         browsers that wait for news
    lab_keys        tells the pages of one's own server from others of this host

Materials:
    materials       shared files, hand-outs, and how they went
    uploads         files on their way in
    deliveries      hand-outs on their way to homes
    collecting      snapshots of everybody's folder
    git_links       links for nbgitpuller
    nbgrader        whether a class is a course

The end of a term:
    terms           a class goes into an archive, step by step
    leaving         who leaves with it
    archives        the lists that are kept, and making a class again
"""
