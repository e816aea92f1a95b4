# pmcache. `make help` lists what can be made; everything made goes below $(BUILD).
#
# One file, not recursive, but for two cases: `run` and `test` call make again once the packages are there, and the
# sanitizer and fuzz builds are the same rules with other flags into another BUILD.

BUILD    ?= build
CC       := $(if $(filter default,$(origin CC)),gcc,$(CC))
SANITIZE ?=
PREFIX   ?= /usr/local
PYTHON   ?= /usr/bin/python3
FUZZ_SECONDS ?= 10
T        ?=
V        ?=

ifeq (0,$(MAKELEVEL))
ifeq (,$(filter -j% --jobs%,$(MAKEFLAGS)))
MAKEFLAGS += -j$(shell nproc)
endif
endif
MAKEFLAGS += --no-builtin-rules --no-print-directory
.DELETE_ON_ERROR:
.SECONDARY:
.DEFAULT_GOAL := all

# ---- flags ----------------------------------------------------------------------------------------------------------

PACKAGES := libevent_core libssl libcrypto libcares yaml-0.1 libxxhash libb2
# Empty until the packages are installed; `run` and `test` see to that before they build.
LIB_CFLAGS := $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
LIBS       := $(shell pkg-config --libs $(PACKAGES) 2>/dev/null) -lpthread
TEST_LIBS  := $(shell pkg-config --libs cmocka 2>/dev/null)

WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes -Wmissing-prototypes \
	    -Wpointer-arith -Wwrite-strings -Wvla -Wformat=2 -Werror
HARDEN   := -fstack-protector-strong -fPIE $(if $(SANITIZE),,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
# With an empty value, so that a file that says #define _GNU_SOURCE itself does not contradict.
CPPFLAGS += -I. -D_GNU_SOURCE= $(LIB_CFLAGS)
CFLAGS   ?= $(if $(SANITIZE),-O1 -fno-omit-frame-pointer,-O2) -g
SAN      := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=all)
COMPILE   = $(CC) -std=gnu11 $(CPPFLAGS) $(CFLAGS) $(WARNINGS) $(HARDEN) $(SAN)
LINK      = $(CC) $(CFLAGS) $(SAN) $(LDFLAGS) -pie -Wl,-z,relro,-z,now,--as-needed

# ---- what there is --------------------------------------------------------------------------------------------------

CTL_SRC    := $(wildcard node/ctl/ctl.c)
LIB_SRC    := $(sort $(filter-out $(CTL_SRC),$(wildcard node/*/*.c)) $(wildcard proto/*.c peer/*.c parent/*.c))
MAIN_SRC   := $(sort $(wildcard node/*.c))
UNIT_SRC   := $(sort $(wildcard tests/unit/*/test_*.c))
STRESS_SRC := $(sort $(wildcard tests/stress/*.c))
FUZZ_SRC   := $(sort $(wildcard tests/fuzz/fuzz_*.c))
BENCH_SRC  := $(sort $(wildcard tests/bench/*.c))
HEADERS    := $(sort $(wildcard node/*.h node/*/*.h proto/*.h peer/*.h parent/*.h))
C_SRC      := $(LIB_SRC) $(CTL_SRC) $(MAIN_SRC)
SCRIPTS    := $(sort .ci/run $(wildcard tests/tools/* tests/bench/run tests/live/run))
SH_SCRIPTS := $(shell grep -lE '^\#!.*[/ ](ba|da)?sh' $(SCRIPTS) /dev/null 2>/dev/null)
PY_SCRIPTS := $(shell grep -lE '^\#!.*python3' $(SCRIPTS) /dev/null 2>/dev/null) \
	      $(shell find tests -name '*.py' -not -path '*/__pycache__/*')
FORMATTED  := $(C_SRC) $(HEADERS) $(shell find tests -name '*.[ch]')

objects = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))

LIB      := $(BUILD)/libpmcache.a
PROGRAMS := $(if $(MAIN_SRC),$(BUILD)/pmcached) $(if $(CTL_SRC),$(BUILD)/pmcachectl)
UNIT     := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(UNIT_SRC))
STRESS   := $(patsubst tests/stress/%.c,$(BUILD)/tests/stress_%,$(STRESS_SRC))
REPLAY   := $(patsubst tests/fuzz/%.c,$(BUILD)/tests/%,$(FUZZ_SRC))
FUZZ     := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(FUZZ_SRC))
BENCH    := $(patsubst tests/bench/%.c,$(BUILD)/bench/%,$(BENCH_SRC))

# ---- to be called ---------------------------------------------------------------------------------------------------

.PHONY: all help deps run test check-asan check-tsan lint lint-format lint-scripts fmt fuzz bench live install clean
.PHONY: tests run-tests fuzz-programs bench-programs

all: $(LIB) $(PROGRAMS) ## build/pmcached and build/pmcachectl
	@:

run: ## install what is missing, build, and run an edge on localhost:8080 and localhost:8081
	@tests/tools/deps build
	@+$(MAKE) all
	@exec $(BUILD)/pmcached --run

test: ## install what is missing, build, and run all tests (T=word: only those with this word in their name)
	@tests/tools/deps build test
	@+$(MAKE) run-tests

check-asan: ## all test programs under AddressSanitizer and UndefinedBehaviorSanitizer
	@tests/tools/deps build test
	@+PMC_SLOWER=$${PMC_SLOWER:-3} $(MAKE) BUILD=$(BUILD)/asan SANITIZE=address,undefined RUN_TESTS="--no-structure" run-tests

check-tsan: ## all test programs under ThreadSanitizer
	@tests/tools/deps build test
	@+PMC_SLOWER=$${PMC_SLOWER:-5} $(MAKE) BUILD=$(BUILD)/tsan SANITIZE=thread RUN_TESTS="--no-structure" run-tests

lint: ## clang-tidy, clang-format, shellcheck, Python's compiler, structure checks
	@tests/tools/deps build test check
	@+$(MAKE) -k lint-format lint-scripts $(patsubst %.c,$(BUILD)/lint/%.tidy,$(C_SRC))
	@+$(MAKE) $(LIB)
	@PMC_BUILD=$(BUILD) $(PYTHON) tests/tools/run-tests --only-structure

fmt: ## format the C sources in place
	@tests/tools/deps check
	clang-format -i $(FORMATTED)

fuzz: ## run each fuzz target for FUZZ_SECONDS from its corpus
	@tests/tools/deps build test check
	@+$(MAKE) BUILD=$(BUILD)/libfuzzer CC=clang SANITIZE=fuzzer-no-link,address,undefined fuzz-programs
	@$(PYTHON) tests/tools/run-fuzz $(BUILD)/libfuzzer $(FUZZ_SECONDS) $(T)

bench: ## CPU per request, side by side with nginx and squid
	@tests/tools/deps build test bench
	@+$(MAKE) all bench-programs
	@PMC_BUILD=$(BUILD) tests/bench/run

live: ## a real npm install through the edge, twice, from the registry that npm is configured for
	@tests/tools/deps build test
	@+$(MAKE) all
	@PMC_BUILD=$(BUILD) tests/live/run

install: all ## into DESTDIR and PREFIX
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/doc/pmcache/examples
	install -m 755 $(PROGRAMS) $(DESTDIR)$(PREFIX)/bin
	install -m 644 README.md LICENSE $(wildcard docs/*.md) $(DESTDIR)$(PREFIX)/share/doc/pmcache
	$(if $(wildcard conf/*.yaml),install -m 644 $(wildcard conf/*.yaml) $(DESTDIR)$(PREFIX)/share/doc/pmcache/examples)

deps: ## only install what is missing to build and test
	@tests/tools/deps build test

clean: ## remove everything made
	rm -rf $(BUILD)

help: ## this list
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/\1\t\2/p' Makefile | expand -t 14

# ---- rules ----------------------------------------------------------------------------------------------------------

say = $(if $(V),,@printf '  %-5s %s\n' $(1) $(2) &&)

$(BUILD)/obj/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(call say,CC,$<) $(COMPILE) -MMD -MP -c -o $@ $<

$(LIB): $(call objects,$(LIB_SRC))
	@mkdir -p $(@D)
	@rm -f $@
	$(call say,AR,$@) ar rcs $@ $^

$(BUILD)/pmcached: $(call objects,$(MAIN_SRC)) $(LIB)
	$(call say,LINK,$@) $(LINK) -o $@ $^ $(LIBS)

$(BUILD)/pmcachectl: $(call objects,$(CTL_SRC)) $(LIB)
	$(call say,LINK,$@) $(LINK) -o $@ $^ $(LIBS)

$(UNIT): $(BUILD)/tests/%: $(BUILD)/obj/tests/unit/%.o $(LIB)
	@mkdir -p $(@D)
	$(call say,LINK,$@) $(LINK) -o $@ $^ $(TEST_LIBS) $(LIBS)

$(STRESS): $(BUILD)/tests/stress_%: $(BUILD)/obj/tests/stress/%.o $(LIB)
	@mkdir -p $(@D)
	$(call say,LINK,$@) $(LINK) -o $@ $^ $(TEST_LIBS) $(LIBS)

# The fuzz targets without a fuzzer: each file of the corpus once.
$(REPLAY): $(BUILD)/tests/%: $(BUILD)/obj/tests/fuzz/%.o $(BUILD)/obj/tests/fuzz/replay.o $(LIB)
	@mkdir -p $(@D)
	$(call say,LINK,$@) $(LINK) -o $@ $^ $(LIBS)

$(FUZZ): $(BUILD)/fuzz/%: $(BUILD)/obj/tests/fuzz/%.o $(LIB)
	@mkdir -p $(@D)
	$(call say,LINK,$@) $(LINK) -fsanitize=fuzzer -o $@ $^ $(LIBS)

$(BENCH): $(BUILD)/bench/%: $(BUILD)/obj/tests/bench/%.o $(LIB)
	@mkdir -p $(@D)
	$(call say,LINK,$@) $(LINK) -o $@ $^ $(LIBS)

tests: all $(UNIT) $(STRESS) $(REPLAY)
fuzz-programs: $(FUZZ)
bench-programs: $(BENCH)

RUN_TESTS ?=
run-tests: tests
	@PMC_BUILD=$(BUILD) PMC_SANITIZE=$(SANITIZE) $(PYTHON) tests/tools/run-tests $(RUN_TESTS) $(T)

$(BUILD)/lint/%.tidy: %.c .clang-tidy Makefile $(HEADERS)
	@mkdir -p $(@D)
	$(call say,TIDY,$<) clang-tidy --quiet $< -- -std=gnu11 $(CPPFLAGS) 2>/dev/null && touch $@

lint-format:
	$(call say,LINT,format) clang-format --dry-run -Werror $(FORMATTED)

lint-scripts:
	$(call say,LINT,scripts) shellcheck $(SH_SCRIPTS) </dev/null && $(PYTHON) tests/tools/python-compiles $(PY_SCRIPTS)

-include $(patsubst %.o,%.d,$(call objects,$(C_SRC) $(UNIT_SRC) $(STRESS_SRC) $(FUZZ_SRC) $(BENCH_SRC) tests/fuzz/replay.c))
