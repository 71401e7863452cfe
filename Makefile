# One command does each chore; 'make' lists them.
#
# Everything is private to this checkout: the Python packages in .venv, the running stack in var.
# Only Debian's packages are installed into the system, and none of their services is started.

SHELL := /bin/bash
.DEFAULT_GOAL := help

# --- What can be overridden: make up VAR=/tmp/other AUTH_PORT=21812 ACCT_PORT=21813 ------------------

VAR ?= var
AUTH_PORT ?= 11812
ACCT_PORT ?= 11813
# Of make cluster; the nodes take the ports from CLUSTER_PORT on.
CLUSTER_PORT ?= 13306
CLUSTER_AUTH_PORT ?= 14812
CLUSTER_ACCT_PORT ?= 14813
# The interpreter that is inside radiusd: a virtual environment of another one would not serve it.
PYTHON ?= /usr/bin/python3
VENV ?= .venv
# Passed to pytest: make test PYTEST="-k returned -x"
PYTEST ?=
# So many workers with servers of their own; 0: one after the other, in this process, as a debugger needs it.
JOBS ?= 2
# Passed to the bench: make bench BENCH="--cards 10000 --history 0"
BENCH ?=
# The short form of what takes long: make bench SHORT=1, make faults SHORT=1
SHORT ?=
# Some campaigns only: make faults ONLY=queue,model
ONLY ?=
# The Debian 13 root that test-debian13 and bench-debian13 make once and use again.
DEBIAN13 ?= /var/cache/prepaid-cards/debian13

export VAR AUTH_PORT ACCT_PORT CLUSTER_PORT CLUSTER_AUTH_PORT CLUSTER_ACCT_PORT

STACK := $(VENV)/bin/python -m tests.stack
DEBIAN := freeradius freeradius-python3 freeradius-utils mariadb-server python3-venv
# What tests read the product's work with: EAP logins, sealed exports, QR codes, the reports' page, man pages, workbooks.
DEBIAN_TEST := eapoltest nftables iproute2 age zbar-tools chromium groff-base libreoffice-calc-nogui

# The peer's database driver.
DEBIAN_BENCH := freeradius-mysql

DEBIAN_CLUSTER := galera-4 rsync haproxy iproute2

# $(call or_say,SENTENCE): what went wrong in one sentence, after the tool's own words.
or_say = || { echo "make $@: $(1)" >&2; exit 1; }

.PHONY: help
help: ## List these targets.
	@echo "Usage: make TARGET [VAR=folder] [AUTH_PORT=11812] [ACCT_PORT=11813]"
	@sed -nE 's/^([a-z0-9-]+):.*## (.*)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

# --- Use ---------------------------------------------------------------------------------------------

.PHONY: demo
demo: installed ## Set up what is missing, start the stack and play one card's life; leaves the stack up.
	@$(STACK) up
	@$(VENV)/bin/python -m tests.demo

.PHONY: up
up: installed ## Start the private MariaDB and FreeRADIUS under var/; a second time changes nothing.
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

.PHONY: test
test: system-test installed $(VENV)/test.stamp ## Set up what is missing and run every test.
	@$(VENV)/bin/python -m pytest --numprocesses $(JOBS) --dist loadfile $(PYTEST)

.PHONY: interleavings
interleavings: system-test installed $(VENV)/test.stamp ## Try every order of the statements of any two acts on a card; make test tries some.
	@INTERLEAVINGS=all $(VENV)/bin/python -m pytest --numprocesses $(JOBS) --dist loadfile tests/interleaving $(PYTEST)

.PHONY: test-debian13
test-debian13: system-debootstrap ## Run the acceptance tests on FreeRADIUS 3.2.7 in a Debian 13 root.
	@tests/debian-root.sh trixie $(DEBIAN13) test JOBS=$(JOBS) PYTEST="tests/acceptance $(PYTEST)"

.PHONY: faults
faults: system-faults installed $(VENV)/test.stamp ## Break everything under load and count what was lost; SHORT=1: in minutes; ONLY=model,queue.
	@$(VENV)/bin/python -m tests.faults $(if $(SHORT),--short) $(if $(ONLY),--only $(ONLY))

.PHONY: mutants
mutants: installed $(VENV)/test.stamp ## Change one place at a time in what decides, charges and guards, and see whether a test notices; SHORT=1: 30 places; ONLY=TEXT some.
	@$(VENV)/bin/python -m tests.mutants $(if $(SHORT),--short) $(if $(ONLY),--only "$(ONLY)")

# What was found there is in that root's copy of the checkout; its rows are taken over.
.PHONY: faults-debian13
faults-debian13: system-debootstrap installed ## The same on FreeRADIUS 3.2.7 in a Debian 13 root; one var/faults.json has both.
	@tests/debian-root.sh trixie $(DEBIAN13) faults SHORT="$(SHORT)" ONLY="$(ONLY)"
	@$(VENV)/bin/python -m tests.faults --merge $(DEBIAN13)/srv/prepaid-cards/var/faults.json

.PHONY: bench
bench: system-bench installed ## Measure against FreeRADIUS' own SQL modules, side by side; SHORT=1 for a short form.
	@$(VENV)/bin/python -m tests.bench $(if $(SHORT),--short) $(BENCH)

# What was measured there is in that root's copy of the checkout; its rows are taken over.
.PHONY: bench-debian13
bench-debian13: system-debootstrap installed ## The same on FreeRADIUS 3.2.7 in a Debian 13 root; one var/bench.json has both.
	@tests/debian-root.sh trixie $(DEBIAN13) bench BENCH="$(BENCH)" SHORT="$(SHORT)"
	@$(VENV)/bin/python -m tests.bench --merge $(DEBIAN13)/srv/prepaid-cards/var/bench.json

.PHONY: lint
lint: $(VENV)/test.stamp ## Check the Python code with ruff.
	@$(VENV)/bin/ruff check .

# --- Set up ------------------------------------------------------------------------------------------

.PHONY: system
system:
	@tests/stack/debian-packages.sh $(DEBIAN)

.PHONY: system-test
system-test:
	@tests/stack/debian-packages.sh $(DEBIAN_TEST) $(DEBIAN_CLUSTER)

.PHONY: system-bench
system-bench:
	@tests/stack/debian-packages.sh $(DEBIAN) $(DEBIAN_BENCH)

.PHONY: system-cluster
system-cluster:
	@tests/stack/debian-packages.sh $(DEBIAN) $(DEBIAN_CLUSTER)

# A clock that can be put forward.
.PHONY: system-faults
system-faults:
	@tests/stack/debian-packages.sh libfaketime $(DEBIAN_CLUSTER)

.PHONY: system-debootstrap
system-debootstrap:
	@tests/stack/debian-packages.sh debootstrap

.PHONY: installed
installed: system $(VENV)/installed.stamp

# The virtual environment is made after Debian's packages (python3-venv is one of them), but not again
# because of them.
$(VENV)/venv.stamp: | system
	@$(PYTHON) -m venv $(VENV) \
		$(call or_say,could not make the virtual environment $(VENV) with $(PYTHON); is python3-venv installed?)
	@touch $@

pip_failed = the Python packages of $< could not be installed into $(VENV); see pip's words above, check the way to PyPI, and run make again.

$(VENV)/requirements.stamp: requirements.txt $(VENV)/venv.stamp
	@echo "Installing the Python packages of $< into $(VENV)"
	@$(VENV)/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes --requirement $< \
		$(call or_say,$(pip_failed))
	@touch $@

$(VENV)/test.stamp: requirements-test.txt $(VENV)/requirements.stamp
	@echo "Installing the Python packages of $< into $(VENV)"
	@$(VENV)/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes --requirement $< \
		$(call or_say,$(pip_failed))
	@touch $@

# Translations are compiled into the tree, beside their sources, and are not kept in git.
CATALOGUES := $(patsubst %.po,%.mo,$(wildcard admin/locale/*/LC_MESSAGES/*.po))

%.mo: %.po $(VENV)/requirements.stamp
	@$(VENV)/bin/pybabel --quiet compile --input-file $< --output-file $@ \
		$(call or_say,$< could not be compiled; see pybabel's words above.)

# A real installation, never an editable one: radiusd appends python_path to its path, and appended
# folders are not searched for the .pth files that editable installations live by.
SOURCES := setup.cfg pyproject.toml tools/compile_catalogues.py $(shell find admin freeradius_module sql raddb-config docs/man -type f \
	-not -name '*.pyc' -not -name '*.mo' -not -path '*/locale/*.po')

# Which files there are, so that one that was removed is noticed, too.  Not by the age of their folders: Python's caches
# change that in the middle of a test run, and an installation takes the command away for a moment.
$(VENV)/sources.list: FORCE | $(VENV)/venv.stamp
	@new=$@.$$$$; printf '%s\n' $(sort $(SOURCES)) > $$new; if cmp --quiet $$new $@; then rm $$new; else mv $$new $@; fi

.PHONY: FORCE
FORCE:

$(VENV)/installed.stamp: $(VENV)/requirements.stamp $(VENV)/sources.list $(SOURCES) $(CATALOGUES)
	@rm -rf build prepaid_cards.egg-info
	@flock $(VENV)/lock $(VENV)/bin/python -m pip --disable-pip-version-check install --quiet --no-deps \
		--no-build-isolation --force-reinstall . $(call or_say,prepaid-cards could not be installed into $(VENV); see pip's words above.)
	@rm -rf build prepaid_cards.egg-info
	@touch $@

# --- Look after --------------------------------------------------------------------------------------

.PHONY: messages
messages: $(VENV)/requirements.stamp ## Collect what the commands say into the catalogues of translations.
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
			--output-file requirements-test.txt pyproject.toml

.PHONY: clean
clean: down cluster-down ## Stop the stack and remove its data, the virtual environment and what was built.
	@if [ -L $(VAR)/cluster/nodes ]; then rm -rf "$$(readlink $(VAR)/cluster/nodes)"; fi
	@rm -rf $(VAR) $(VENV) build dist prepaid_cards.egg-info .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -prune -exec rm -rf {} + -o -name '*.mo' -delete
