# Each target is one call of Python; without make, type the line itself.
.PHONY: setup demo test check slow bench docs
setup: ; python3 demo/environment.py
demo:  ; python3 -m demo
test:  ; python3 demo/environment.py -m pytest -m "not slow"
slow:  ; python3 demo/environment.py -m pytest -m slow
check: ; python3 demo/environment.py -m demo.check
bench: ; python3 demo/environment.py -m benchmarks
docs:  ; python3 demo/environment.py docs/write_commands.py
