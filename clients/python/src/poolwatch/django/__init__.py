"""`INSTALLED_APPS += ["poolwatch.django"]`: one line of settings.

It watches the connections of every alias, by thread or in a pool, times their statements, and marks
each request.
"""
