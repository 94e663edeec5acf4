# make demo and make test set up everything they need in .venv, once. PYTHON names another interpreter. Without an NVIDIA GPU
# PyTorch's CPU build is taken from its public CPU index, or from TORCH_INDEX in its place, where that can be reached.
PYTHON ?= python3
BIN := .venv/bin
export OMP_NUM_THREADS ?= 2
export TORCH_INDEX
SHARED ?= ../shared/data

.PHONY: setup demo toy-study test check format soak bench plausibility docs clean

setup:
	@$(PYTHON) .ci/setup.py cpu,dev

demo:
	@$(PYTHON) .ci/setup.py cpu
	$(BIN)/instructsel demo

# The whole method at toy size: a base, a study of mixtures, a fitted rule, a selection. A few minutes on two cores.
toy-study:
	@$(PYTHON) .ci/setup.py cpu,train,fit
	$(BIN)/python examples/toy_study.py --out study-demo

# ISA runs the tests under a smaller instruction set of the processor: avx2, avx512, avx512_bf16 or amx. TESTS names some of them.
# A thread for each of the two processes: more would wait for each other.
ISA ?=
TESTS ?=
test: setup
	OMP_NUM_THREADS=1 $(if $(ISA),$(BIN)/python .ci/isa.py $(ISA)) $(BIN)/python -m pytest -q -n 2 --dist loadfile $(TESTS)

check: setup
	$(BIN)/ruff format --check instructsel adapters benchmarks tests examples docs cli.py .ci
	$(BIN)/ruff check instructsel adapters benchmarks tests examples docs cli.py .ci
	$(BIN)/mypy
	$(BIN)/pyright
	@mkdir -p .venv/typed && ln -sfn ../../instructsel .venv/typed/instructsel
	PYTHONPATH=.venv/typed $(BIN)/pyright --pythonpath $(BIN)/python --verifytypes instructsel --ignoreexternal > .venv/verifytypes.log || (tail -n 30 .venv/verifytypes.log; exit 1)
	$(BIN)/lint-imports
	$(MAKE) test

format: setup
	$(BIN)/ruff format instructsel adapters benchmarks tests examples docs cli.py .ci
	$(BIN)/ruff check --fix instructsel adapters benchmarks tests examples docs cli.py .ci

# The long versions: the tests marked so, many hostile model folders, and forged files for every reader for as long as FUZZ_SECONDS says;
# inputs that break one are kept in build/fuzz-failures.
FUZZ_SECONDS ?= 3600
INSTRUCTSEL_SOAK_FOLDERS ?= 5000
FUZZ_SEED ?= $(shell date +%s)
soak: setup
	$(BIN)/python -m pytest -q -m soak
	INSTRUCTSEL_SOAK_FOLDERS=$(INSTRUCTSEL_SOAK_FOLDERS) $(BIN)/python -m pytest -q tests/models/test_hostile_folders.py
	$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS) --seed $(FUZZ_SEED)
	$(BIN)/python -m tests.fuzz.texts --seconds $(FUZZ_SECONDS) --seed $(FUZZ_SEED)

bench: setup
	$(BIN)/python -m pip install -q sentence-transformers
	$(BIN)/python benchmarks/mtld.py $(SHARED)/pools/dolly.jsonl.zst
	$(BIN)/python benchmarks/embedding.py $(SHARED)/pools/alpaca.jsonl.zst
	$(BIN)/python benchmarks/main_job.py $(SHARED)/pools/dolly.jsonl.zst --out .venv/bench
	$(BIN)/python benchmarks/neighbors.py --cache .venv/bench/cache
	$(BIN)/python benchmarks/main_job.py $(SHARED)/pools/alpaca.jsonl.zst --out .venv/bench

# Trains the plausibility model anew and judges it: half an hour and more on two cores.
plausibility: setup
	$(BIN)/python -m pip install -q "peft>=0.21,<0.22"
	$(BIN)/python benchmarks/models/embedded_reward/build.py $(SHARED)
	$(BIN)/python docs/build_embedded_reward.py

docs: setup
	$(BIN)/python docs/build_reference.py
	$(BIN)/python docs/build_audit.py
	$(BIN)/python docs/build_checks.py
	$(BIN)/mkdocs build --strict -q -f .ci/mkdocs.yml && echo "documents: build/site/index.html"

clean:
	rm -rf .venv build dist *.egg-info instructsel-demo study-demo
