# DeepSign: `make` prints what there is; `make report` makes all of it.
#
# The graph: an executed notebook depends on its source, the modules it uses, its resolved
# parameters and the artefacts before it. Parameters and artefacts are rewritten only when their
# content changes, so what is up to date is not run again.

# What a shell happens to hold under these names is for something else: they are given to make.
GIVEN := STUDY RUN PARAMS DATA SWEEP STUDIES WRITERS ONLY PYTHON
$(foreach name,$(GIVEN),$(if $(filter environment,$(origin $(name))),\
	$(info $(name) is set in the environment, and not read: make … $(name)='$($(name))')\
	$(eval undefine $(name))))

STUDY ?= synthetic
PARAMS ?=
DATA ?=
# With other parameters, or with images in place of those it draws, a study is another one, and
# takes the place of none that is there.
DRAWS := synthetic pretraining shortcut_demo
RUN ?= $(STUDY)$(if $(or $(PARAMS),$(and $(DATA),$(filter $(DRAWS),$(STUDY)))),_changed)
# It names folders, and make divides words at spaces.
ifneq ($(words $(RUN)),1)
$(error RUN is '$(RUN)': it names a folder, of letters, digits, and _ . - without spaces)
endif
ifneq ($(filter -%,$(RUN) $(STUDY)),)
$(error RUN is '$(RUN)', STUDY '$(STUDY)': a name does not begin with a hyphen)
endif

MAKEFLAGS += --no-builtin-rules
unexport PYTHONWARNINGS PYTHONSTARTUP
.DELETE_ON_ERROR:
.PHONY: help report publish reproduce matrix capture sweep bench test torture planted test-jax \
	test-newest audit-dependencies lint lab serve pretrained lock clean images environment \
	environment-dev FORCE

# A goal's line ends in `## ` and what it is for; lines that begin with `## ` go on about it.
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-19s %s\n", $$1, $$2} \
		/^## / {printf "%25s%s\n", "", substr($$0, 4)}' $(firstword $(MAKEFILE_LIST))
	@echo 'Studies: $(sort $(notdir $(basename $(wildcard notebooks/studies/*.yaml))))'

# ------------------------------------------------------------------------------- environment
VENV := .venv
PY := $(VENV)/bin/python
INSTALL := deepsign_utils/study/install.py
# The first Python at hand that the study runs on.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null \
	&& echo $$p && break; done)

# A checkout that was moved takes its environment along.
ifneq ($(wildcard $(VENV)/bin/activate),)
ifneq ($(shell grep -qF '$(realpath $(VENV))' $(VENV)/bin/activate && echo here),here)
$(shell $(PY) deepsign_utils/study/relocation.py $(VENV))
endif
endif

environment: $(VENV)/.installed ## the environment in .venv; every other goal makes it where it needs it
environment-dev: $(VENV)/.installed-dev

$(VENV)/.installed: requirements.txt pyproject.toml
	@test -n '$(PYTHON)' || { echo 'DeepSign needs Python 3.11, 3.12 or 3.13.' >&2; exit 1; }
	@echo 'Installing the environment into $(VENV), once; it takes a few minutes.'
	@$(PYTHON) -m venv $(VENV)
	@$(PY) $(INSTALL) --require-hashes -r requirements.txt
	@$(PY) $(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	@echo 'Installing what tests need, once; it takes a minute or two.'
	@$(PY) $(INSTALL) --require-hashes -r requirements-dev.txt
	@touch $@

$(VENV)/.installed-serve: requirements-serve.txt $(VENV)/.installed
	@echo 'Installing what the service needs, once; it takes a minute.'
	@$(PY) $(INSTALL) --require-hashes \
		-r requirements-serve.txt
	@touch $@

$(VENV)/.installed-sweep: requirements-sweep.txt $(VENV)/.installed
	@echo 'Installing what sweeps need, once; it takes a minute.'
	@$(PY) $(INSTALL) --require-hashes \
		-r requirements-sweep.txt
	@touch $@

# One resolution for all: what the extras add may not move what the study pins. Older pips take the
# newest of what is asked for with an extra, unless the lock has it with that extra.
COMPILE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-strip-extras \
	--no-emit-index-url --no-annotate --custom-compile-command 'make lock' pyproject.toml
lock: ## the requirements*.txt from pyproject.toml, with uv
	@$(COMPILE) --extra study -o requirements.txt
	@$(COMPILE) --constraint requirements.txt --extra study --extra serve -o requirements-serve.txt
	@$(COMPILE) --constraint requirements-serve.txt --extra verify -o requirements-verify.txt
	@$(COMPILE) --constraint requirements-serve.txt --extra study --extra sweep -o requirements-sweep.txt
	@$(COMPILE) --constraint requirements-serve.txt --constraint requirements-sweep.txt \
		--extra study --extra serve --extra sweep --extra dev -o requirements-dev.txt

# ------------------------------------------------------------------------------------ report
BUILT := data/built/$(RUN)
REPORT := reports/$(RUN)
PARAMETERS := $(BUILT)/parameters
EXECUTED := $(REPORT)/notebooks

CHAPTERS := 01_eda 02_pairing 03_tfrecord 04_model 05_training 06_evaluation
ifeq ($(STUDY),shortcut_demo)
CHAPTERS := shortcut_demo
endif
NOTEBOOKS := $(CHAPTERS:%=$(EXECUTED)/%.ipynb)
# The files of rooms: of modules on top of the package, and of packages in it.
room = $(foreach one,$(1),$(wildcard $(addprefix deepsign_utils/$(one),.py /*.py /*/*.py)))
execute = $(PY) -m deepsign_utils execute notebooks/$(1).ipynb \
	--parameters $(PARAMETERS)/$(1).yaml --output $(EXECUTED)/$(1).ipynb

# One at a time: two reports of the same study wait for each other, even if make was killed and a
# chapter of it is still at work.
report: $(VENV)/.installed ## six notebooks, and the report they make: reports/<study>/index.html
## STUDY=cedar  DATA=<folder of images>  PARAMS="-p epochs 3"  RUN=<output name>
## with PARAMS and no RUN it is called <study>_changed, and the study itself stays as it is
## STUDY=shortcut_demo shows what a naive error rate is worth
	@$(PY) -m deepsign_utils alone $(RUN) -- $(MAKE) --no-print-directory $(REPORT)/index.html
	@echo 'The report: $(REPORT)/index.html' # also where there was nothing to be done

$(REPORT)/index.html: $(NOTEBOOKS) $(REPORT)/metrics.json \
		$(call room,report) $(wildcard deepsign_utils/report/templates/*)
	@$(PY) -m deepsign_utils report $(RUN) > /dev/null

# A rerun has a folder of its own, so that nothing of the published run is taken up again.
RERUN := $(if $(filter $(STUDY),$(RUN)),$(STUDY)_reproduced,$(RUN))
reproduce: $(VENV)/.installed ## a study once more, and whether it reaches its published numbers: STUDY=…
	@$(MAKE) --no-print-directory report RUN=$(RERUN)
	@$(PY) -m deepsign_utils reproduce $(STUDY) --run $(RERUN)

publish: $(VENV)/.installed ## a finished run writes down the numbers that reruns have to reach: STUDY=…
	@$(PY) -m deepsign_utils publish $(STUDY) --run $(RUN)

# Checked at every run, before anything else; a chapter's file changes only with its parameters.
FORCE:
$(PARAMETERS)/checked: FORCE $(VENV)/.installed
	@$(PY) -m deepsign_utils parameters $(STUDY) --run $(RUN) --output $(PARAMETERS) \
		$(if $(DATA),--data '$(subst ','\'',$(value DATA))') $(PARAMS)
$(CHAPTERS:%=$(PARAMETERS)/%.yaml): $(PARAMETERS)/checked ; @:
# So does what is known of the images: rewritten only where their content is another.
$(BUILT)/images.json: $(PARAMETERS)/checked ; @:

# Studies that draw their own data: where to, and how.
DRAWING := $(filter-out %/realism.py $(wildcard deepsign_utils/synthetic/pages/*.py),$(call room,synthetic))
DRAW_synthetic := data/raw/synthetic --seed 1
DRAW_pretraining := data/raw/synthetic_2500 --writers 2500 --genuine 11 --forgeries 6 --seed 2
ifeq ($(DATA),)
ifdef DRAW_$(STUDY)
DRAWN := $(firstword $(DRAW_$(STUDY)))
IMAGES := $(DRAWN)/manifest.csv
$(IMAGES): $(DRAWING) | $(VENV)/.installed
	@$(PY) -m deepsign_utils synthesize $(DRAW_$(STUDY)) --replace
	@touch $@
endif
endif
images: $(IMAGES) ## the writers that the default study draws: data/raw/synthetic

# The demonstration draws data with a planted shortcut.
ifeq ($(STUDY)$(DATA),shortcut_demo)
IMAGES := data/raw/shortcut_demo/manifest.csv
$(IMAGES): $(DRAWING) deepsign_utils/runs/naive_recipe.py | $(VENV)/.installed
	@test ! -f data/raw/shortcut_demo/planted.json || rm -r data/raw/shortcut_demo
	@$(PY) -m deepsign_utils synthesize data/raw/shortcut_demo --seed 2 --darker-forgeries 0.3 \
		--writers 30 --genuine 12 --forgeries 12
	@touch $@
endif

$(NOTEBOOKS): $(EXECUTED)/%.ipynb: notebooks/%.ipynb $(PARAMETERS)/%.yaml $(VENV)/.installed
	@$(call execute,$*)

# What chapters hand on, by the chapter that writes it.
AUDIT_TABLES := features.parquet audit.parquet
FROM_EDA := $(addprefix $(BUILT)/,signatures.parquet quality.json $(AUDIT_TABLES:%=audit_raw/%))
FROM_PAIRING := $(patsubst %,$(BUILT)/%.parquet,split pairs_validation trials_validation \
	pairs_test trials_test pairs_published)
FROM_TFRECORD := $(BUILT)/records.json $(AUDIT_TABLES:%=$(BUILT)/audit_canvas/%)
FROM_TRAINING := $(REPORT)/model/encoder.keras $(REPORT)/model/encoder.onnx $(REPORT)/history.csv $(REPORT)/whitening.csv
USED := $(CHAPTERS:%=$(BUILT)/used_parameters/%.json)

$(EXECUTED)/01_eda.ipynb $(EXECUTED)/shortcut_demo.ipynb: $(IMAGES) $(BUILT)/images.json
$(EXECUTED)/02_pairing.ipynb: $(BUILT)/signatures.parquet
$(EXECUTED)/03_tfrecord.ipynb: $(BUILT)/signatures.parquet $(BUILT)/split.parquet \
	$(BUILT)/pairs_validation.parquet
$(EXECUTED)/05_training.ipynb: $(BUILT)/records.json $(BUILT)/pairs_validation.parquet \
	$(BUILT)/trials_validation.parquet
$(EXECUTED)/06_evaluation.ipynb: $(FROM_EDA) $(FROM_PAIRING) $(FROM_TFRECORD) $(FROM_TRAINING) \
	$(filter-out %/06_evaluation.json,$(USED))

# The rooms a chapter uses, and those that they use (a test holds these lists to the imports).
OF_ALL := chapter figures layouts metrics preprocessing study __init__
OF_MODEL := models losses scoring tfrecords parts batches training
$(EXECUTED)/01_eda.ipynb: $(call room,$(OF_ALL) datasets duplicates manifests pairing report shortcuts)
$(EXECUTED)/02_pairing.ipynb: $(call room,$(OF_ALL) pairing)
$(EXECUTED)/03_tfrecord.ipynb: $(call room,$(OF_ALL) shortcuts tfrecords)
$(EXECUTED)/04_model.ipynb: $(call room,$(OF_ALL) models losses synthetic)
$(EXECUTED)/05_training.ipynb: $(call room,$(OF_ALL) $(OF_MODEL) deployed_encoder synthetic)
$(EXECUTED)/06_evaluation.ipynb: $(call room,$(OF_ALL) $(OF_MODEL) deployed_encoder pairing report \
	shortcuts synthetic verifying capture)
$(EXECUTED)/shortcut_demo.ipynb: $(call room,$(OF_ALL) $(OF_MODEL) datasets manifests pairing report runs \
	shortcuts synthetic)

# What a chapter writes is as new as its content; where it is gone, the chapter runs again.
artefact = @test -e $@ || $(call execute,$(1)) --missing $@
$(FROM_EDA): $(EXECUTED)/01_eda.ipynb ; $(call artefact,01_eda)
$(FROM_PAIRING): $(EXECUTED)/02_pairing.ipynb ; $(call artefact,02_pairing)
$(filter-out %/records.json,$(FROM_TFRECORD)): $(EXECUTED)/03_tfrecord.ipynb ; $(call artefact,03_tfrecord)
# records.json names the shards; where they were deleted, they are made again.
$(BUILT)/records.json: $(EXECUTED)/03_tfrecord.ipynb
	@test -e "$$(sed -n 's/.*"folder": "\(.*\)".*/\1/p' $@ 2>/dev/null)/manifest.json" \
		|| $(call execute,03_tfrecord)
$(FROM_TRAINING): $(EXECUTED)/05_training.ipynb ; $(call artefact,05_training)
$(USED): $(BUILT)/used_parameters/%.json: $(EXECUTED)/%.ipynb ; $(call artefact,$*)
$(REPORT)/metrics.json: $(EXECUTED)/$(lastword $(CHAPTERS)).ipynb ; $(call artefact,$(lastword $(CHAPTERS)))

# Reads what finished studies left; their scores are kept, so that a second run is quick.
matrix: $(VENV)/.installed ## train on one dataset, test on another: reports/matrix/index.html
## STUDIES="cedar synthetic", default: all finished studies
	@$(PY) -m deepsign_utils matrix $(STUDIES)

# Captured images are embedded once and kept, so that an interrupted run goes on where it stopped.
capture: $(VENV)/.installed ## signatures on forms, by camera, fax and other pens: reports/capture/index.html
## DATA=<folder of images>  WRITERS=24, default: 16 synthetic ones  ONLY="ruled line,fax"
	@$(PY) -m deepsign_utils capture $(if $(DATA),'$(subst ','\'',$(value DATA))') \
		$(if $(WRITERS),--writers $(WRITERS)) $(if $(ONLY),--only '$(ONLY)')

# ------------------------------------------------------------------------------- everyday use
# JupyterLab opens on notebooks/README.md, rendered, and asks no other host for news. A user's own
# settings of JupyterLab (theme, keys) stay; the kernels see none of their IPython's.
LAB_SETTINGS := $(VENV)/share/jupyter/lab/settings
lab: $(VENV)/.installed images ## the notebooks in JupyterLab
	@mkdir -p $(LAB_SETTINGS) data/built/.settings/ipython
	@cp notebooks/lab_settings.json $(LAB_SETTINGS)/overrides.json
	@env -u JUPYTER_PATH -u MPLBACKEND -u JPY_SESSION_NAME JUPYTER_PREFER_ENV_PATH=1 \
		IPYTHONDIR='$(CURDIR)/data/built/.settings/ipython' \
		$(PY) -m jupyterlab --LabApp.default_url=/lab/tree/notebooks/README.md

serve: $(VENV)/.installed-serve ## verify signatures over HTTP, with a page at http://127.0.0.1:8000
	@$(PY) -m deepsign_utils serve

sweep: $(VENV)/.installed-sweep ## many studies on this machine or a Dask cluster: reports/sweeps/<name>/index.html
## SWEEP=notebooks/sweeps/example.yaml  DASK_SCHEDULER=tcp://<host>:8786
	@test -n '$(SWEEP)' || { echo 'Which? make sweep SWEEP=notebooks/sweeps/example.yaml' >&2; exit 2; }
	@$(PY) -m deepsign_utils sweep '$(SWEEP)'

bench: $(VENV)/.installed-dev ## how fast this machine is, in ratios: reports/bench/index.html
	@$(PY) tests/benchmarks/bench.py

# The shipped model: what verify and serve use where no model is named, and start_from: pretrained.
pretrained: ## train the shipped model on synthetic writers; minutes on a GPU, most of a day on 2 cores
	@$(MAKE) report STUDY=pretraining
	@mkdir -p deepsign_utils/pretrained
	@cp reports/pretraining/model/* deepsign_utils/pretrained/

lint: $(VENV)/.installed-dev ## format, style, docstrings, types
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@$(PY) -m mypy --no-error-summary

planted: $(VENV)/.installed-dev ## 20 honest datasets and four with a planted shortcut: which are flagged?
	@$(PY) tests/planted.py

test: lint ## all tests
	@$(PY) -m pytest -n 2

# What `make test` has no time for. `pytest -m torture` alone leaves the short forms out.
torture: $(VENV)/.installed-dev ## kills, faults, dirty and hostile data, at length (docs/reliability.md)
	@$(PY) -m pytest -m 'torture or not torture' tests/torture tests/test_repeatability.py \
		tests/test_pipeline.py tests/test_datasets.py tests/test_surroundings.py

# The locks leave JAX out: without an accelerator nobody needs it.
test-jax: $(VENV)/.installed-dev ## training on Keras's JAX backend, which this installs into .venv
	@$(PY) $(INSTALL) --no-build-isolation -e '.[jax]'
	@$(PY) -m pytest tests/test_training.py tests/test_models.py -k jax

# The newest versions that the ranges of pyproject.toml allow, in an environment beside the locked
# one; made anew when a day has passed.
NEWEST := .venv-newest
.PHONY: $(NEWEST)/.installed
$(NEWEST)/.installed: $(VENV)/.installed
	@test -n "$$(find $@ -newer pyproject.toml -mtime -1 2>/dev/null)" || { \
		echo 'Installing the newest versions into $(NEWEST).'; \
		$(PY) -m venv --clear $(NEWEST) \
		&& $(NEWEST)/bin/python $(INSTALL) --upgrade --upgrade-strategy eager -e '.[study,serve,sweep,dev]' \
		&& touch $@ $@-dev $@-serve; }

test-newest: $(NEWEST)/.installed ## all tests, with the newest versions that pyproject.toml allows
	@$(NEWEST)/bin/python -m pytest -n 2

# The auditors live in an environment of their own: they are no part of the project.
AUDIT := .venv-audit
audit-dependencies: $(VENV)/.installed-dev $(VENV)/.installed-serve ## known vulnerabilities and licences of what the locks install
	@test -x $(AUDIT)/bin/pip-licenses || { $(PY) -m venv $(AUDIT) \
		&& $(AUDIT)/bin/python $(INSTALL) pip-audit pip-licenses; }
	@$(AUDIT)/bin/pip-licenses --python $(PY) --format=markdown
	@$(AUDIT)/bin/pip-audit --strict --require-hashes --disable-pip -r requirements-dev.txt \
		|| { echo 'Not clean, or not audited: what was found, or why not, stands above.' >&2; exit 1; }

clean: ## what was generated: data/built, reports/*, the environment
	rm -rf $(VENV) $(NEWEST) $(AUDIT) data/built data/raw/synthetic data/raw/capture
	find reports -mindepth 1 ! -name README.md -delete

# Last, as it would define what is only defined where it was not before.
unexport $(GIVEN)
