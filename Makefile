# Each target is one call of Python; without make, type the line itself.
.PHONY: setup demo test check slow bench docs site storm node-storm faults flips golden start judges release browser hostile crowd vulnerabilities
setup: ; python3 demo/environment.py
demo:  ; python3 -m demo
test:  ; python3 demo/environment.py -m pytest -n 2 --dist loadfile -m "not slow" --ignore tests/judges
slow:  ; python3 demo/environment.py tests/suites/shards.py --long
all:   ; python3 demo/environment.py tests/suites/shards.py --all
faults: ; python3 demo/environment.py tests/support/faults.py
flips: ; python3 demo/environment.py tests/trials/flips.py
golden: ; python3 demo/environment.py tests/support/golden.py
check: ; python3 demo/environment.py -m demo.check
bench: ; python3 demo/environment.py -m benchmarks
docs:  ; python3 demo/environment.py docs/write_catalogues.py && python3 demo/environment.py docs/write_commands.py && python3 demo/environment.py docs/write_egress.py
site:  ; python3 demo/environment.py docs/write_site.py
start: ; python3 demo/environment.py -m engine.demand.pretrain && python3 demo/environment.py -m engine.warning.pretrain
release: ; python3 demo/environment.py -m demo.release dist
vulnerabilities: ; python3 demo/environment.py -m demo.vulnerabilities
judges: ; python3 demo/environment.py -m pytest tests/judges
browser: ; python3 demo/environment.py tests/trials/browser.py
storm: ; python3 demo/environment.py tests/trials/storm.py 300
hostile: ; python3 demo/environment.py tests/trials/hostile/hostile.py
node-storm: ; python3 demo/environment.py tests/trials/node_storm.py 200
crowd: ; python3 demo/environment.py tests/trials/crowd.py
