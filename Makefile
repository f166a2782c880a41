# Everything that is done to this repository, by name. `make help` lists it.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

# Tools are installed from source at a pinned version into .tools/, which git
# ignores: nothing is left on the machine.
GOLANGCI_VERSION := v2.15.0
GOLANGCI         := .tools/golangci-lint-$(GOLANGCI_VERSION)

# How long all tests of one package may take together, and one fuzz target.
TEST_TIMEOUT ?= 8m
FUZZ_TIME    ?= 3s
SOAK_TIMEOUT ?= 4h

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/postern, one static binary
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/postern ./cmd/postern

.PHONY: run
run: build ## start a demo server on this machine (RUN_FLAGS="--listen 127.0.0.1:9000" for another port)
	bin/postern serve --demo $(RUN_FLAGS)

.PHONY: test
test: ## run every test with the race detector, then every fuzz target for a moment
	@.ci/need-cc
	go test -race -timeout $(TEST_TIMEOUT) ./...
	@.ci/fuzz $(FUZZ_TIME)

.PHONY: check
check: $(GOLANGCI) ## format, vet, lint, other systems, go.mod; runs no tests
	@files=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); \
	  if [ -n "$$files" ]; then printf 'not formatted, run gofmt -w on:\n%s\n' "$$files"; exit 1; fi
	go vet ./...
	$(GOLANGCI) run ./...
	GOOS=darwin go build ./...
	GOOS=windows go build ./...
	go mod tidy -diff

.PHONY: soak
soak: ## run the long tests with their full counts, seeds printed (POSTERN_SEED=N repeats one)
	@packages=$$(grep -rlE 'testkit\.(Count|Soaking)' --include='*_test.go' . | xargs -r dirname | sort -u | grep -v internal/testkit || true); \
	  if [ -z "$$packages" ]; then echo 'no long tests yet'; exit 0; fi; \
	  POSTERN_SOAK=1 go test -v -count=1 -timeout $(SOAK_TIMEOUT) $(if $(RUN),-run '$(RUN)') $$packages

.PHONY: bench
bench: build ## measure this build beside the floor of this machine
	bin/postern bench $(BENCH_FLAGS)

.PHONY: docs
docs: ## rewrite the documentation that comes from the code
	UPDATE=1 go test -count=1 -run 'UpToDate' ./...

.PHONY: clean
clean: ## remove what was built and the tools
	rm -rf bin .tools

$(GOLANGCI):
	@mkdir -p .tools
	@echo "installing golangci-lint $(GOLANGCI_VERSION) into .tools (about a minute, once)"
	@GOBIN=$(CURDIR)/.tools go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION) 2>.tools/install.log \
	  || { cat .tools/install.log; exit 1; }
	@mv .tools/golangci-lint $@
