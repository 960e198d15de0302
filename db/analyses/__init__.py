"""Analyses of profiles by a language model, or by what can be measured without one."""
