# make demo and make test need a Debian or Ubuntu with Rust; what else they need, they install.

.PHONY: help test demo check dashboards install clean

help:
	@echo 'make demo        an application, its database and poolwatch over both, until Ctrl-C'
	@echo 'make test        all tests'
	@echo 'make check       what CI runs: the tests, the lints, the documentation'
	@echo 'make dashboards  the dashboards and alerts proven and rendered on live data: a quarter of an hour, and npm'
	@echo 'make install     what the above need, as Debian packages'
	@echo 'make clean       forget what was built'

test:
	tools/install
	tools/test

demo:
	tools/install demo
	cargo build
	cargo run --quiet -- demo --application examples/reddit-bot

check:
	.ci/run

dashboards:
	tools/install
	cargo build --release
	dashboards/live

install:
	tools/install

clean:
	cargo clean
