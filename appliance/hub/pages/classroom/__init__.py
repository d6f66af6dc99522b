"""The pages of classes, for teachers; what they do is in `hub/classroom/`.

Of one class, by its tabs:
    base            what they share
    live            Class: who is here, servers, messages, visits
    roster          People; roster_lists is a list that is being looked at, roster_base what both
                    share with the admins' own page of people
    joining         Joining; hub/pages/join.py is what newcomers see
    materials       Materials; upload is where files come in
    settings        Settings, and the end of a term

Of all:
    list            /hub/classes: the classes, and making one
    archives        /hub/archives: for admins
"""
