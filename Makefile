# make demo and make test need a Debian or Ubuntu with Rust; what else they need, they install.

.PHONY: help test demo check install clean

help:
	@echo 'make demo     an application, its database and poolwatch over both, until Ctrl-C'
	@echo 'make test     all tests'
	@echo 'make check    what CI runs: the tests, the lints, the documentation'
	@echo 'make install  what the above need, as Debian packages'
	@echo 'make clean    forget what was built'

test:
	tools/install
	cargo test

demo:
	tools/install demo
	cargo build
	cargo run --quiet -- demo --application examples/reddit-bot

check:
	.ci/run

install:
	tools/install

clean:
	cargo clean
