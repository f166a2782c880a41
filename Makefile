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
TEST_TIMEOUT ?= 12m
FUZZ_TIME    ?= 3s
SOAK_TIMEOUT ?= 4h

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/postern, one static binary
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/postern ./cmd/postern

.PHONY: run
run: build ## start a demo server on this machine (RUN_FLAGS="--listen 127.0.0.1:9000" for another port)
	bin/postern serve --demo $(RUN_FLAGS)

.PHONY: test
test: ## run every test of every module with the race detector, then every fuzz target for a moment
	@.ci/need-cc
	@.ci/need-node
	@.ci/need-postgres
	go test -race -timeout $(TEST_TIMEOUT) ./...
	@.ci/modules test $(TEST_TIMEOUT)
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
	@.ci/modules check $(CURDIR)/$(GOLANGCI)

.PHONY: soak
soak: ## run the long tests with their full counts, seeds printed (POSTERN_SEED=N repeats one)
	@packages=$$(grep -rlE 'testkit\.(Count|Soaking)' --include='*_test.go' . | xargs -r dirname | sort -u | grep -v internal/testkit || true); \
	  if [ -z "$$packages" ]; then echo 'no long tests yet'; exit 0; fi; \
	  POSTERN_SOAK=1 go test -v -count=1 -timeout $(SOAK_TIMEOUT) $(if $(RUN),-run '$(RUN)') $$packages

.PHONY: soak-isolation
soak-isolation: build ## measure what slow, hanging and flooding neighbours cost others (30 minutes)
	bin/postern bench --runs accept,isolation --rounds 5 $(BENCH_FLAGS)

.PHONY: soak-history
soak-history: build ## measure everything on 1M stored messages and on 1M pending retries (30 minutes)
	bin/postern bench --stored 1000000 --pending 1000000 $(BENCH_FLAGS)

.PHONY: soak-chart
soak-chart: build ## chart cost and latency against 0.1M to 3M stored messages (20 minutes)
	bin/postern bench --chart $(BENCH_FLAGS)

.PHONY: soak-memory
soak-memory: build ## measure resident memory and idle CPU (8 minutes)
	bin/postern bench --runs memory --rounds 1 $(BENCH_FLAGS)

.PHONY: soak-backlog
soak-backlog: build ## measure backlogs, probes, ramps and rate limits (9 minutes)
	bin/postern bench --runs backlog,probe,ratelimit --rounds 1 $(BENCH_FLAGS)

.PHONY: soak-restart
soak-restart: build ## measure a restart behind a backlog of 1M (2 minutes)
	bin/postern bench --runs restart --rounds 1 $(BENCH_FLAGS)

.PHONY: soak-pages
soak-pages: build ## measure every list, filter, plot and tail on 1M stored messages (5 minutes)
	bin/postern bench --runs pages $(BENCH_FLAGS)

.PHONY: soak-retention
soak-retention: build ## measure while a day of 1M messages is dropped (13 minutes)
	bin/postern bench --runs retention $(BENCH_FLAGS)

.PHONY: soak-nodes
soak-nodes: build ## measure two and three nodes on one database, BENCH_FLAGS="--store postgres://..." (9 minutes)
	bin/postern bench --runs nodes $(BENCH_FLAGS)

.PHONY: soak-faults
soak-faults: ## meet full disks and faults on our own side, with full counts (10 minutes)
	POSTERN_SOAK=1 go test -v -count=1 -timeout $(SOAK_TIMEOUT) -run 'TestSoakDisk|TestSoakFullDisk|TestNoDescriptors|TestResolverDown|TestNoRoute|TestPayloadsBeyond' ./internal/e2e

.PHONY: soak-fuzz
soak-fuzz: ## fuzz every scheme, handshake and parser of package verify for 2 minutes each (12 minutes on 4 processors)
	@.ci/fuzz 2m ./verify

.PHONY: soak-long
soak-long: build ## half an hour at 60 % of full speed under random SIGKILLs
	bin/postern bench --runs soak --rounds 1 $(BENCH_FLAGS)

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
