# The doors for people; what they do is in scripts/ and in the tests.

SHELL := /bin/bash
export PATH := $(PATH):$(HOME)/.cargo/bin

TARGET := $(or $(CARGO_TARGET_DIR),target)

# What this machine trusts, builds in the tests trust too: behind a company's proxy they could download nothing otherwise.
ifneq ($(wildcard /etc/ssl/certs/ca-certificates.crt),)
export SLIPWAY_BUILD_CA_BUNDLE ?= /etc/ssl/certs/ca-certificates.crt
endif

.DEFAULT_GOAL := help
.PHONY: help run test check bench

help: ## list these targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

run: ## set up this machine, start Slipway and deploy a sample app by git push
	@exec scripts/run

test: ## set up this machine, then run every test, those with a real engine included
	scripts/setup test
	scripts/clients
	cargo build
	$(TARGET)/debug/slipway stack build
	cargo test

check: ## format, lints, docs, architecture, dependencies, shell syntax: seconds, no engine
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --document-private-items
	cargo test --test architecture
	scripts/deny
	@for script in $$(grep -rlE '^#!/bin/(ba)?sh' scripts .ci buildpacks src/build/stack); do \
	  bash -n "$$script" || exit 1; \
	done

bench: ## measure against baselines taken in the same run, write BENCHMARKS.md
	scripts/setup bench
	cargo build --release
	cargo bench
