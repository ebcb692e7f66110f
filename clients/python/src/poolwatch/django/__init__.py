"""`INSTALLED_APPS += ["poolwatch.django"]` watches the pools of Django 5.1 and later."""
