"""The program that touches files of classes and homes: one job, as the user whom they belong to.

The root daemon runs it in a unit of its own for each job, a trial as a child process. It stands on
the standard library alone, trusts no tree that it walks, and follows no link.
"""
