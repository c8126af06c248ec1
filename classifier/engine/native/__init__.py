"""The image tower in C, for processors that multiply bytes 64 at a time (AVX-512 with VNNI).

torch's operators each go through memory, and a third of a picture's time went by around the products, not in them.
The C files beside this one do what can be done while a value is in a register: LayerNorm rounds to bytes, a product
scales, adds and applies the nonlinearity. Before it comes Pillow's resize, which took as long as two blocks
(resize.c). build.py compiles them where there is a compiler, when the model is prepared; a server loads what was
compiled, where its processor can run it, and otherwise uses torch's kernels (linear.py).
"""
