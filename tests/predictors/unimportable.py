"""Needs what nobody has."""

import a_module_that_nobody_has


class Never:
    predict = a_module_that_nobody_has.predict
