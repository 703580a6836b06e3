"""How signatures are captured, simulated: the pen, the form, the sheet, the camera, the fax.

Small functions that compose; `paper` says what they share, `conditions` lists them, and `benchmark`
measures how a verifier bears each.
"""
