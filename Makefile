# pmcache. `make help` lists what can be made; everything made goes below $(BUILD).
#
# One file, not recursive, but for two cases: `run` and `test` call make again once the packages are there, and the
# sanitizer and fuzz builds are the same rules with other flags into another BUILD.

BUILD    ?= build
CC       := $(if $(filter default,$(origin CC)),gcc,$(CC))
SANITIZE ?=
PREFIX   ?= /usr/local
UNITDIR  ?= $(PREFIX)/lib/systemd/system
PYTHON   ?= /usr/bin/python3
FUZZ_SECONDS ?= 10
SEEDS    ?= 5000
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

PACKAGES := libevent_core libssl libcrypto libcares yaml-0.1 libxxhash libb2 msgpack
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
PLAY_SRC   := $(sort $(wildcard tests/play/play_*.c))
FUZZ_SRC   := $(sort $(wildcard tests/fuzz/fuzz_*.c))
BENCH_SRC  := $(sort $(wildcard tests/bench/*.c))
HEADERS    := $(sort $(wildcard node/*.h node/*/*.h proto/*.h peer/*.h parent/*.h))
C_SRC      := $(LIB_SRC) $(CTL_SRC) $(MAIN_SRC)
SCRIPTS    := $(sort .ci/run $(wildcard tests/tools/* tests/bench/run tests/live/run tests/package/run tests/ansible/run tests/fleet/run \
	      tests/fleet/machines docs/man/md2man) \
	      conf/completion/generate debian/config debian/postinst debian/postrm)
SH_SCRIPTS := $(shell grep -lE '^\#!.*[/ ](ba|da)?sh' $(SCRIPTS) /dev/null 2>/dev/null)
PY_SCRIPTS := $(shell grep -lE '^\#!.*python3' $(SCRIPTS) /dev/null 2>/dev/null) \
	      $(shell find tests -name '*.py' -not -path '*/__pycache__/*')
FORMATTED  := $(C_SRC) $(HEADERS) $(shell find tests -name '*.[ch]')

objects = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))

LIB      := $(BUILD)/libpmcache.a
PROGRAMS := $(if $(MAIN_SRC),$(BUILD)/pmcached) $(if $(CTL_SRC),$(BUILD)/pmcachectl)
UNIT     := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(UNIT_SRC))
STRESS   := $(patsubst tests/stress/%.c,$(BUILD)/tests/stress_%,$(STRESS_SRC))
PLAY     := $(patsubst tests/play/%.c,$(BUILD)/tests/%,$(PLAY_SRC))
PLAY_LIB := $(call objects,$(sort $(filter-out $(PLAY_SRC),$(wildcard tests/play/*.c))))
REPLAY   := $(patsubst tests/fuzz/%.c,$(BUILD)/tests/%,$(FUZZ_SRC))
FUZZ     := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(FUZZ_SRC))
MAN      := $(addprefix $(BUILD)/man/,pmcached.8 pmcachectl.1 pmcache.yaml.5)
SHELLS   := bash zsh fish
COMPLETE := $(foreach p,pmcached pmcachectl,$(foreach s,$(SHELLS),$(BUILD)/completion/$(p).$(s)))
VERSION  := $(shell sed -nE 's/^.define PMCACHE_VERSION "(.*)"/\1/p' node/base/version.h)
BENCH    := $(patsubst tests/bench/%.c,$(BUILD)/bench/%,$(BENCH_SRC))
POLICY_SRC := $(sort $(wildcard tests/bench/policy/*.c))
POLICY   := $(BUILD)/bench/policy/policy $(BUILD)/bench/policy/generate

# ---- to be called ---------------------------------------------------------------------------------------------------

.PHONY: all help deps run test check-asan check-tsan lint lint-format lint-scripts fmt fuzz play bench live install clean
.PHONY: man completion deb check-package ansible-check fleet fleet-short
.PHONY: tests run-tests fuzz-programs bench-programs bench-cluster bench-queries bench-policy policy-programs

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

play: ## SEEDS made-up plays of a whole cluster in one process, from a random one on (FROM=n: from that one)
	@tests/tools/deps build test
	@+$(MAKE) $(BUILD)/tests/play_seeds
	@$(BUILD)/tests/play_seeds $${FROM:-$$(date +%s)000} $(SEEDS)

BENCH_ARGS ?=

bench: ## CPU per request, side by side with nginx and squid
	@tests/tools/deps build test bench
	@+$(MAKE) all bench-programs
	@PMC_BUILD=$(BUILD) tests/bench/run $(BENCH_ARGS)

bench-cluster: ## what it costs to be one cache of many, side by side with clusters of squid
	@tests/tools/deps build test bench
	@+$(MAKE) all bench-programs
	@PMC_BUILD=$(BUILD) tests/bench/run --cluster $(BENCH_ARGS)

bench-queries: ## what a datagram of another node costs the cluster loop
	@tests/tools/deps build
	@+$(MAKE) $(BUILD)/bench/queries
	@$(BUILD)/bench/queries

bench-policy: ## hit ratios of the eviction policies on a trace of two weeks
	@tests/tools/deps build
	@+$(MAKE) policy-programs
	@$(BUILD)/bench/policy/generate | $(BUILD)/bench/policy/policy -

live: ## a real npm install through the edge, twice, from the registry that npm is configured for
	@tests/tools/deps build test
	@+$(MAKE) all
	@PMC_BUILD=$(BUILD) tests/live/run

man: $(MAN) ## the man pages, made from docs/ and from what the programs say

completion: $(COMPLETE) ## completions of bash, zsh and fish, made from what the programs say

doc = $(DESTDIR)$(PREFIX)/share/doc/pmcache
share = $(DESTDIR)$(PREFIX)/share
install: all man completion ## into DESTDIR and PREFIX (units into UNITDIR)
	install -D -m 755 -t $(DESTDIR)$(PREFIX)/bin $(PROGRAMS)
	install -D -m 644 -t $(doc) README.md SECURITY.md LICENSE $(wildcard docs/*.md)
	install -D -m 644 -t $(doc)/examples $(wildcard conf/*.yaml) \
		conf/systemd/pmcache.yaml conf/systemd/credentials.conf conf/systemd/pmcached.socket
	install -D -m 644 -t $(share)/man/man8 $(filter %.8,$(MAN))
	install -D -m 644 -t $(share)/man/man5 $(filter %.5,$(MAN))
	install -D -m 644 -t $(share)/man/man1 $(filter %.1,$(MAN))
	install -d $(DESTDIR)$(UNITDIR)
	sed 's,@bindir@,$(PREFIX)/bin,' conf/systemd/pmcached.service > $(DESTDIR)$(UNITDIR)/pmcached.service
	install -D -m 644 conf/systemd/pmcache.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/pmcache.conf
	install -D -m 644 conf/systemd/pmcache.tmpfiles $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/pmcache.conf
	for p in pmcached pmcachectl; do \
		install -D -m 644 $(BUILD)/completion/$$p.bash $(share)/bash-completion/completions/$$p && \
		install -D -m 644 $(BUILD)/completion/$$p.zsh $(share)/zsh/vendor-completions/_$$p && \
		install -D -m 644 $(BUILD)/completion/$$p.fish $(share)/fish/vendor_completions.d/$$p.fish || exit 1; \
	done

# In a copy of the tree, so that nothing is left beside it.
deb: ## build/pmcache_VERSION_ARCHITECTURE.deb
	@tests/tools/deps build package
	@head -n 1 debian/changelog | grep -qF '($(VERSION))' || \
		{ echo "debian/changelog and node/base/version.h name different versions" >&2; exit 1; }
	rm -rf $(BUILD)/deb && mkdir -p $(BUILD)/deb/pmcache-$(VERSION)
	tar -c --exclude=./build --exclude=./.git --exclude='*.pyc' --exclude=__pycache__ . | tar -x -C $(BUILD)/deb/pmcache-$(VERSION)
	cd $(BUILD)/deb/pmcache-$(VERSION) && env -u MAKEFLAGS -u MAKELEVEL -u BUILD dpkg-buildpackage -b -us -uc -j$$(nproc)
	cp $(BUILD)/deb/pmcache_$(VERSION)_*.deb $(BUILD)

check-package: deb ## lintian, then install, run, use and purge the package in a Debian tree of its own (root, network)
	@tests/package/run $(BUILD)/pmcache_$(VERSION)_$$(dpkg --print-architecture).deb

ansible-check: deb ## the Ansible collection: lint, argument specs, and real machines (root; about 12 minutes)
	@tests/tools/deps machines ansible
	@+$(MAKE) all
	@PMC_BUILD=$(BUILD) tests/ansible/run

fleet: deb ## two edges, a parent and an origin as booted machines: install, update, rotate under load (root; about 17 minutes)
	@tests/tools/deps machines
	@+$(MAKE) all
	@PMC_BUILD=$(BUILD) tests/fleet/run

fleet-short: deb ## the beginning of that, in a few minutes, as CI does it (root)
	@tests/tools/deps machines
	@+$(MAKE) all
	@PMC_BUILD=$(BUILD) tests/fleet/run short

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

$(BUILD)/obj/node/admin/page.o: node/admin/page/page.html

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

$(PLAY): $(BUILD)/tests/%: $(BUILD)/obj/tests/play/%.o $(PLAY_LIB) $(LIB)
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

$(BUILD)/bench/policy/policy: $(call objects,$(filter-out %/generate.c,$(POLICY_SRC)))
$(BUILD)/bench/policy/generate: $(call objects,tests/bench/policy/generate.c)
$(POLICY): $(LIB)
	@mkdir -p $(@D)
	$(call say,LINK,$@) $(LINK) -o $@ $(filter %.o,$^) $(LIB) $(LIBS) -lm

$(BUILD)/man/pmcached.8: docs/man/pmcached.8.md docs/man/md2man
	@mkdir -p $(@D)
	$(call say,MAN,$@) docs/man/md2man pmcached 8 "caching proxy for package managers" < $< > $@

$(BUILD)/man/pmcachectl.1: docs/pmcachectl.md docs/man/md2man
	@mkdir -p $(@D)
	$(call say,MAN,$@) docs/man/md2man pmcachectl 1 "control pmcached, and point package managers at it" < $< > $@

$(BUILD)/man/pmcache.yaml.5: $(BUILD)/pmcached docs/man/md2man
	@mkdir -p $(@D)
	$(call say,MAN,$@) $(BUILD)/pmcached --config-reference | docs/man/md2man pmcache.yaml 5 "configuration of pmcached" > $@

define completion_rule
$(BUILD)/completion/%.$(1): $(BUILD)/% conf/completion/generate
	@mkdir -p $$(@D)
	$$(call say,COMP,$$@) conf/completion/generate $(1) $$< > $$@
endef
$(foreach s,$(SHELLS),$(eval $(call completion_rule,$(s))))

tests: all $(UNIT) $(STRESS) $(PLAY) $(REPLAY) $(POLICY)
fuzz-programs: $(FUZZ)
bench-programs: $(BENCH)
policy-programs: $(POLICY)

RUN_TESTS ?=
run-tests: tests
	@PMC_BUILD=$(BUILD) PMC_SANITIZE=$(SANITIZE) $(PYTHON) tests/tools/run-tests $(RUN_TESTS) $(T)

$(BUILD)/lint/%.tidy: %.c .clang-tidy Makefile $(HEADERS)
	@mkdir -p $(@D)
	$(call say,TIDY,$<) clang-tidy --quiet $< -- -std=gnu11 $(CPPFLAGS) 2>/dev/null && touch $@

lint-format:
	$(call say,LINT,format) clang-format --dry-run -Werror $(FORMATTED)

lint-scripts:
	$(call say,LINT,scripts) shellcheck -x $(SH_SCRIPTS) </dev/null && $(PYTHON) tests/tools/python-compiles $(PY_SCRIPTS)

-include $(patsubst %.o,%.d,$(call objects,$(C_SRC) $(UNIT_SRC) $(STRESS_SRC) $(wildcard tests/play/*.c) $(FUZZ_SRC) $(BENCH_SRC) $(POLICY_SRC) tests/fuzz/replay.c))
