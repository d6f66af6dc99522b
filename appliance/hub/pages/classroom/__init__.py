"""The pages of classes, for teachers; what they do is in `hub/classroom/`.

    base            what the pages of one class share
    list            /hub/classes: the classes, and making one
    live            the tab Class: who is here, servers, messages, visits
    roster          the tab People; roster_lists is a list that is being looked at, roster_base
                    what both share with the admins' own page of people
    joining         the tab Joining; hub/pages/join.py is what newcomers see
    materials       the tab Materials; upload is where files come in
    settings        the tab Settings, and the end of a term
    archives        /hub/classes/archives: for admins
"""
