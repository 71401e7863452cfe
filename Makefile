# One command does each chore; 'make' lists them.
#
# Everything is private to this checkout: the Python packages are in .venv, the running stack is in var.
# Only Debian's packages are installed into the system, and none of their services is started.

SHELL := /bin/bash
.DEFAULT_GOAL := help

# --- Variables: make up VAR=/tmp/other AUTH_PORT=21812 ACCT_PORT=21813 -------------------------------

VAR ?= var
AUTH_PORT ?= 11812
ACCT_PORT ?= 11813
# For make cluster. The nodes take the ports from CLUSTER_PORT on.
CLUSTER_PORT ?= 13306
CLUSTER_AUTH_PORT ?= 14812
CLUSTER_ACCT_PORT ?= 14813
# radiusd contains this interpreter, so the virtual environment must be made by it.
PYTHON ?= /usr/bin/python3
VENV ?= .venv
# Passed to pytest: make test PYTEST="-k returned -x"
PYTEST ?=
# The number of test workers, each with its own servers. 0: no workers, all tests in one process (for a debugger).
JOBS ?= 2
# Passed to the bench: make bench BENCH="--cards 10000 --history 0"
BENCH ?=
# SHORT=1 selects the short form: make bench SHORT=1, make faults SHORT=1
SHORT ?=
# The number of places that make mutants changes, chosen by a fixed seed: make mutants SAMPLE=150
SAMPLE ?=
# LEFT=1: make mutants tries only what no earlier run found killed
LEFT ?=
# Run only some campaigns: make faults ONLY=queue,model
ONLY ?=
# The roots of other Debian releases. Each is made once and used again.
DEBIAN13 ?= /var/cache/prepaid-cards/debian13
BACKPORTS ?= /var/cache/prepaid-cards/bookworm-backports

export VAR AUTH_PORT ACCT_PORT CLUSTER_PORT CLUSTER_AUTH_PORT CLUSTER_ACCT_PORT

STACK := $(VENV)/bin/python -m tests.stack
DEBIAN := freeradius freeradius-python3 freeradius-utils mariadb-server python3-venv
# Programs that only tests use: for EAP logins, RadSec, sealed exports, QR codes, the report page, man pages and workbooks.
DEBIAN_TEST := eapoltest radsecproxy iproute2 age zbar-tools chromium groff-base libreoffice-calc-nogui
# For the pictures of the pages: a browser, and the font in the terminal.
DEBIAN_PICTURES := chromium fonts-dejavu-core
# NAS programs and the customers' programs for them.
DEBIAN_NAS := hostapd wpasupplicant ocserv openconnect strongswan-charon strongswan-swanctl libcharon-extra-plugins \
	libstrongswan-extra-plugins openssl iproute2 iputils-ping
# The database driver of FreeRADIUS' own SQL modules, which the bench compares with.
DEBIAN_BENCH := freeradius-mysql
DEBIAN_CLUSTER := galera-4 rsync haproxy iproute2

# $(call or_stop,SENTENCE): if the tool fails, print the sentence after the tool's own output, and stop.
or_stop = || { echo "make $@: $(1)" >&2; exit 1; }

.PHONY: help
help: ## List these targets.
	@echo "Usage: make TARGET [VAR=folder] [AUTH_PORT=11812] [ACCT_PORT=11813]"
	@sed -nE 's/^([a-z0-9-]+):.*## (.*)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

# --- Use ---------------------------------------------------------------------------------------------

.PHONY: demo
demo: installed ## Set up what is missing, start the stack and play one card's life; the stack stays up.
	@$(STACK) up
	@$(VENV)/bin/python -m tests.demo

.PHONY: up
up: installed ## Start the private MariaDB and FreeRADIUS under var/, if they do not run.
	@$(STACK) up

.PHONY: down
down: ## Stop the private MariaDB and FreeRADIUS; the data stays.
	@if [ -x $(VENV)/bin/python ]; then $(STACK) down; else echo "Nothing was ever started from here."; fi

.PHONY: cluster
cluster: system-cluster installed ## Start three Galera nodes and a FreeRADIUS on them, and play the demo there.
	@$(VENV)/bin/python -m tests.stack.cluster demo

.PHONY: cluster-down
cluster-down: ## Stop the cluster; the data stays.
	@if [ -x $(VENV)/bin/python ]; then $(VENV)/bin/python -m tests.stack.cluster down; else echo "Nothing was ever started from here."; fi

# --- Prove -------------------------------------------------------------------------------------------

# $(call in_root,RELEASE,FOLDER): run make on a copy of this checkout in the root of another Debian release.
in_root = tests/debian-root.sh $(1) $(2)
debian13 := $(call in_root,trixie,$(DEBIAN13))
backports := $(call in_root,bookworm-backports,$(BACKPORTS))

.PHONY: lint
lint: $(VENV)/test.stamp ## Check the code without running it: ruff, mypy --strict on both packages, codespell.
	@for check in "ruff check ." "ruff format --check ." mypy codespell; do $(VENV)/bin/$$check || failed=1; done; exit $${failed:-0}

.PHONY: format
format: $(VENV)/test.stamp ## Format the Python code, and repair what ruff can repair.
	@$(VENV)/bin/ruff check --fix --quiet . || true
	@$(VENV)/bin/ruff format .

.PHONY: test
test: system-test installed $(VENV)/test.stamp ## Set up what is missing and run every test.
	@$(VENV)/bin/python -m pytest --numprocesses $(JOBS) --dist loadfile --durations 15 $(PYTEST)

# A copy is built, because debhelper writes into debian/.  Its version names the Debian that it is for: 0.1.0+deb12.
DEB_BUILD := $(abspath $(VAR))/deb

.PHONY: deb
deb: system-deb ## Build the package for the Debian of this machine: dist/prepaid-cards_VERSION_ARCHITECTURE.deb.
	@rm -rf $(DEB_BUILD) && mkdir --parents $(DEB_BUILD)/prepaid-cards dist
	@tar --create --exclude-vcs --exclude='./.*' --exclude='./var*' --exclude=./dist --exclude=./build --exclude='*.egg-info' \
		--exclude='__pycache__' --exclude='*.mo' --exclude=./tests . | tar --extract --directory $(DEB_BUILD)/prepaid-cards --no-same-owner
	@sed --in-place "1s/)/+deb$$(. /etc/os-release && echo $$VERSION_ID))/" $(DEB_BUILD)/prepaid-cards/debian/changelog
	@cd $(DEB_BUILD)/prepaid-cards && dpkg-buildpackage --build=binary --unsigned-source --unsigned-changes > ../build.log 2>&1 \
		|| { tail --lines 20 ../build.log; echo "make $@: the package could not be built; see $(DEB_BUILD)/build.log." >&2; exit 1; }
	@lintian --fail-on error,warning --tag-display-limit 0 $(DEB_BUILD)/*.deb $(call or_stop,lintian finds faults in the package; see above.)
	@cp $(DEB_BUILD)/*.deb dist/
	@ls dist/*"+deb$$(. /etc/os-release && echo $$VERSION_ID)"_*.deb

.PHONY: test-system
test-system: system-system installed $(VENV)/test.stamp ## Boot Debian 12 and 13 with systemd, and run a provider's whole story there; SHORT=1: Debian 12 only; PYTEST=FILES: some tests.
	@SYSTEM=$(if $(SHORT),short,full) $(VENV)/bin/python -m pytest --numprocesses 0 $(or $(PYTEST),tests/system)

.PHONY: interleavings
interleavings: system-test installed $(VENV)/test.stamp ## Try every order of the statements of any two acts on a card; make test tries some.
	@INTERLEAVINGS=all $(VENV)/bin/python -m pytest --numprocesses $(JOBS) --dist load tests/interleaving $(PYTEST)

.PHONY: test-nas
test-nas: system-nas installed $(VENV)/test.stamp ## Try real NAS programs in a network of their own; needs root.
	@tests/nas/private-network.sh $(VENV)/bin/python -m pytest tests/nas $(PYTEST)

.PHONY: test-debian13
test-debian13: system-debootstrap ## Run the acceptance tests in a Debian 13 root, on its FreeRADIUS 3.2.7.
	@$(debian13) test JOBS=$(JOBS) PYTEST="tests/acceptance $(PYTEST)"

.PHONY: test-backports
test-backports: system-debootstrap ## Run the acceptance tests in a Debian 12 root, on FreeRADIUS 3.2.7 from bookworm-backports.
	@$(backports) test JOBS=$(JOBS) PYTEST="tests/acceptance $(PYTEST)"

# Every process writes its own data file here: pytest's workers, commands, engine, radiusd.
COVERAGE := $(abspath $(VAR))/coverage
# What charges a card. Every line and branch of it is tested.
CHARGING := freeradius_module/engine/accounting*.py,freeradius_module/engine/logins*.py,freeradius_module/engine/group*.py,freeradius_module/rules/usage.py,freeradius_module/rules/identity.py,freeradius_module/store/*

.PHONY: coverage
coverage: system-test installed $(VENV)/test.stamp ## Measure the branch coverage of both packages through the real servers (var/coverage/html); PYTEST=FOLDERS: of some tests.
	@rm -rf $(COVERAGE) && mkdir --parents --mode 1777 $(COVERAGE)
	@COVERAGE_PROCESS_START=$(CURDIR)/setup.cfg COVERAGE_FILE=$(COVERAGE)/data \
		$(VENV)/bin/python -m pytest --numprocesses $(JOBS) --dist loadfile $(PYTEST) || failed=1; \
	export COVERAGE_FILE=$(COVERAGE)/data; \
	$(VENV)/bin/coverage combine --quiet && $(VENV)/bin/coverage html --quiet --directory $(COVERAGE)/html || exit 1; \
	for package in freeradius_module admin; do \
		$(VENV)/bin/coverage report --include "$$package/*" | sed -n "s/^TOTAL/$$package/p"; \
	done; \
	$(VENV)/bin/coverage report --include "$(CHARGING)" --show-missing --fail-under 100 && exit $${failed:-0}

.PHONY: faults
faults: system-faults installed $(VENV)/test.stamp ## Break everything under load and count what was lost; SHORT=1: in minutes; ONLY=model,queue.
	@$(VENV)/bin/python -m tests.faults $(if $(SHORT),--short) $(if $(ONLY),--only $(ONLY))

.PHONY: mutants
mutants: installed $(VENV)/test.stamp ## Change one place at a time in the code that decides, charges and guards, and see whether a test fails; SHORT=1: 30 places; SAMPLE=N: so many; ONLY=TEXT: some; LEFT=1: not yet killed.
	@$(VENV)/bin/python -m tests.mutants --jobs $(JOBS) $(if $(SHORT),--short) $(if $(SAMPLE),--sample $(SAMPLE)) $(if $(ONLY),--only "$(ONLY)") $(if $(LEFT),--left)

# The results are written to the root's copy of the checkout, and then added to those of this one.
.PHONY: faults-debian13
faults-debian13: system-debootstrap installed ## The same in the Debian 13 root; var/faults.json then has the results of both.
	@$(debian13) faults SHORT="$(SHORT)" ONLY="$(ONLY)"
	@$(VENV)/bin/python -m tests.faults --merge $(DEBIAN13)/srv/prepaid-cards/var/faults.json

.PHONY: bench
bench: system-bench installed ## Measure against FreeRADIUS' own SQL modules, side by side; SHORT=1: in minutes.
	@$(VENV)/bin/python -m tests.bench $(if $(SHORT),--short) $(BENCH)

.PHONY: bench-debian13
bench-debian13: system-debootstrap installed ## The same in the Debian 13 root; var/bench.json then has the results of both.
	@$(debian13) bench BENCH="$(BENCH)" SHORT="$(SHORT)"
	@$(VENV)/bin/python -m tests.bench --merge $(DEBIAN13)/srv/prepaid-cards/var/bench.json

# --- Set up ------------------------------------------------------------------------------------------

.PHONY: system
system:
	@tests/stack/debian-packages.sh $(DEBIAN)

.PHONY: system-test
system-test:
	@tests/stack/debian-packages.sh $(DEBIAN_TEST) $(DEBIAN_CLUSTER)

.PHONY: system-pictures
system-pictures:
	@tests/stack/debian-packages.sh $(DEBIAN_PICTURES)

.PHONY: system-nas
system-nas:
	@tests/stack/debian-packages.sh $(DEBIAN_NAS)

.PHONY: system-bench
system-bench:
	@tests/stack/debian-packages.sh $(DEBIAN) $(DEBIAN_BENCH)

.PHONY: system-cluster
system-cluster:
	@tests/stack/debian-packages.sh $(DEBIAN) $(DEBIAN_CLUSTER)

# libfaketime moves the clock of a process.
.PHONY: system-faults
system-faults:
	@tests/stack/debian-packages.sh libfaketime $(DEBIAN_CLUSTER)

.PHONY: system-deb
system-deb:
	@tests/stack/debian-packages.sh build-essential debhelper po-debconf python3-venv lintian

.PHONY: system-system
system-system:
	@tests/stack/debian-packages.sh debootstrap systemd-container slirp4netns

.PHONY: system-debootstrap
system-debootstrap:
	@tests/stack/debian-packages.sh debootstrap

.PHONY: installed
installed: system $(VENV)/installed.stamp

# Order only: Debian's python3-venv is needed first, but newer Debian packages do not remake the environment.
$(VENV)/venv.stamp: | system
	@$(PYTHON) -m venv $(VENV) \
		$(call or_stop,could not make the virtual environment $(VENV) with $(PYTHON); is python3-venv installed?)
	@touch $@

pip_failed = the Python packages of $< could not be installed into $(VENV); see pip's message above, check that PyPI can be reached, and run make again.

$(VENV)/requirements.stamp: requirements.txt $(VENV)/venv.stamp
	@echo "Installing the Python packages of $< into $(VENV)"
	@$(VENV)/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes --requirement $< \
		$(call or_stop,$(pip_failed))
	@touch $@

$(VENV)/test.stamp: requirements-test.txt $(VENV)/requirements.stamp
	@echo "Installing the Python packages of $< into $(VENV)"
	@$(VENV)/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes --requirement $< \
		$(call or_stop,$(pip_failed))
	@touch $@

$(VENV)/docs.stamp: requirements-docs.txt $(VENV)/requirements.stamp
	@echo "Installing the Python packages of $< into $(VENV)"
	@$(VENV)/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes --requirement $< \
		$(call or_stop,$(pip_failed))
	@touch $@

# Compiled translations lie beside their sources, and are not in git.
CATALOGUES := $(patsubst %.po,%.mo,$(wildcard admin/locale/*/LC_MESSAGES/*.po))

%.mo: %.po $(VENV)/requirements.stamp
	@$(VENV)/bin/pybabel --quiet compile --input-file $< --output-file $@ \
		$(call or_stop,$< could not be compiled; see pybabel's message above.)

# Never an editable installation: radiusd appends python_path to its path, and Python does not read the .pth files of
# appended folders.
SOURCES := setup.cfg pyproject.toml tools/compile_catalogues.py $(shell find admin freeradius_module sql raddb-config docs/man -type f \
	-not -name '*.pyc' -not -name '*.mo' -not -path '*/locale/*.po')

# The list of files: it changes when a file is removed, too. The age of the folders would not do, because Python writes
# its caches there during a test run, and an installation removes the command for a moment.
$(VENV)/sources.list: FORCE | $(VENV)/venv.stamp
	@new=$@.$$$$; printf '%s\n' $(sort $(SOURCES)) > $$new; if cmp --quiet $$new $@; then rm $$new; else mv $$new $@; fi

.PHONY: FORCE
FORCE:

$(VENV)/installed.stamp: $(VENV)/requirements.stamp $(VENV)/sources.list $(SOURCES) $(CATALOGUES)
	@rm -rf build prepaid_cards.egg-info
	@flock $(VENV)/lock $(VENV)/bin/python -m pip --disable-pip-version-check install --quiet --no-deps \
		--no-build-isolation --force-reinstall . $(call or_stop,prepaid-cards could not be installed into $(VENV); see pip's message above.)
	@rm -rf build prepaid_cards.egg-info
	@touch $@

# --- Look after --------------------------------------------------------------------------------------

.PHONY: docs
docs: $(VENV)/docs.stamp ## Build the site of the pages (var/site); a broken link or a page that is not in mkdocs.yml fails.
	@$(VENV)/bin/python -m tools.site

.PHONY: pictures
pictures: system-pictures installed $(VENV)/test.stamp ## Make the pictures of the pages (docs/pictures) from the real commands.
	@$(VENV)/bin/python -m tests.pictures

.PHONY: messages
messages: $(VENV)/requirements.stamp ## Collect the messages of the commands into the catalogues of translations.
	@$(VENV)/bin/python -m tools.messages

.PHONY: man reference
man: reference
reference: $(VENV)/requirements.stamp $(CATALOGUES) ## Make docs/commands.md and the man pages (docs/man) from the commands' help.
	@$(VENV)/bin/python -m tools.reference

.PHONY: requirements
requirements: $(VENV)/venv.stamp ## Pin the newest releases that setup.cfg allows, with their hashes.
	@$(PYTHON) -m venv $(VENV)/pip-tools
	@$(VENV)/pip-tools/bin/pip install --quiet pip-tools==7.6.2
	@cd $(CURDIR) && CUSTOM_COMPILE_COMMAND="make requirements" && export CUSTOM_COMPILE_COMMAND \
		&& compile="$(VENV)/pip-tools/bin/pip-compile --quiet --upgrade --generate-hashes --allow-unsafe --strip-extras \
			--no-emit-index-url --no-emit-find-links --no-emit-trusted-host" \
		&& $$compile --extra build --output-file requirements.txt pyproject.toml \
		&& $$compile --extra build --extra test --extra lint --constraint requirements.txt \
			--output-file requirements-test.txt pyproject.toml \
		&& $$compile --extra docs --constraint requirements-test.txt --output-file requirements-docs.txt pyproject.toml

.PHONY: clean
clean: down cluster-down ## Stop the stack and remove its data, the virtual environment and what was built.
	@if [ -L $(VAR)/cluster/nodes ]; then rm -rf "$$(readlink $(VAR)/cluster/nodes)"; fi
	@rm -rf $(VAR) $(VENV) build dist prepaid_cards.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	@find . -name __pycache__ -prune -exec rm -rf {} + -o -name '*.mo' -delete
