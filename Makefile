# What a developer does with Oncehook. Needs Debian 12, Rust and root; installs the rest (dev/install).

# Rust may be installed where a plain shell does not look.
export PATH := $(PATH):$(HOME)/.cargo/bin

.DEFAULT_GOAL := help
.PHONY: help demo up down test compose browser screenshots interop fuzz faults bench capacity soak fmt lint clean-dev

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: up ## start everything, send real-shaped Shopify orders, show and check what became of them (PROFILE=dev)
	@dev/demo

up: ## build and start everything (WORKERS=2, PROFILE=dev); how to reach it is in .dev/env
	@dev/up

down: ## stop everything, keep the data
	@dev/down

test: ## format, lints, documentation and all tests, against services of its own (KEEP=1 leaves them up)
	@dev/test

compose: ## the README's Compose commands, tried on a Docker engine (WITHOUT="grafana", KEEP=1)
	@dev/compose

browser: ## the console in headless Chromium: pages, search, redrive, access, axe (LOOK=folder)
	@dev/browser

screenshots: ## take the README's pictures of the console anew
	@SCREENSHOTS=docs/screenshots dev/browser

interop: ## sign and verify against the providers' own libraries, from npm and PyPI
	@dev/interop

fuzz: ## feed grammars, templates, paths and provider files with hostile input (SECONDS_EACH=60)
	@dev/fuzz

faults: ## break everything under load and count (QUICK=1, FAULT=name, SEED=n, SEEDS=n)
	@dev/faults

bench: ## measure everything beside its limit (FIGURE=name, ROUNDS=n, QUICK=1)
	@dev/bench

capacity: ## the machines that RATE=10000 webhooks a second need (CORES=8)
	@cargo run --quiet --locked -p bench -- capacity --rate $${RATE:?how many webhooks a second, as in RATE=10000}

soak: ## 10,000 webhooks through WORKERS=4, one of them killed every second (ARGS="--seed 7")
	@WORKERS=$${WORKERS:-4} dev/up
	@dev/soak $(ARGS)

fmt: ## format the code
	cargo fmt --all

lint: ## the lints alone
	cargo clippy --workspace --all-targets --locked -- -D warnings
	@if command -v shellcheck >/dev/null; then shellcheck -xP SCRIPTDIR dev/install dev/services dev/supervise dev/up dev/down dev/test dev/browser dev/interop dev/fuzz dev/faults dev/bench .ci/run; fi

clean-dev: ## stop everything and delete its data
	@dev/services down --wipe --instance test
	@dev/services down --wipe --instance faults
	@dev/services down --wipe --instance bench
	@dev/down --wipe
