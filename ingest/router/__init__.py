"""Where each document goes.

routes (the rules as configured) ─▶ compiled_routes (one plain function) ─▶ targets
                templates, names: what a target's name is made of, and what is allowed in it
"""
