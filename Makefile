PYTHON ?= python3
BIN := .venv/bin
STAMP := .setup-stamp
DEMO := demo_workspace
MINI := build/mini
DRIVING := $(DEMO)/inputs/driving
REFERENCE := $(DEMO)/inputs/reference

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-head test check lint fmt bench-raster bench-retarget bench-preview bench-synth bench-track bench-track-accuracy bench-mini train-mini bench-wan bench-demo gpu clean

help: ## Print this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

setup: $(STAMP) ## Create .venv with everything that the other targets use

$(STAMP): pyproject.toml setup.py constraints.txt
	PYTHON=$(PYTHON) bash scripts/system_packages.sh
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing into .venv: two to three minutes …"
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e ".[train,test]"
	@# Without its dependencies: it asks for a second copy of cv2, and the rest is here.
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps "rtmlib==0.0.16"
	touch $(STAMP)

demo: $(STAMP) ## Make the still of a short heavy man do the jumping jacks of a slim one
	$(BIN)/emosh init $(DEMO)
	$(BIN)/emosh track $(DRIVING)/demo_fullbody_jumping_jack.mp4 -o $(DEMO)
	$(BIN)/emosh animate $(DEMO) --ref $(REFERENCE)/ref_short_heavy.jpg --generator preview --i-have-consent
	$(BIN)/emosh animate $(DEMO) --ref $(REFERENCE)/ref_short_heavy.jpg --i-have-consent -o $(DEMO)/demo.mp4
	$(BIN)/emosh eval $(DEMO) -o $(DEMO)/report.json
	$(BIN)/emosh export $(DEMO) --what side-by-side -o $(DEMO)/side_by_side.mp4
	@echo "result: $(DEMO)/demo.mp4, beside driver, condition and preview: $(DEMO)/side_by_side.mp4"
	@echo "report: $(DEMO)/report.json (overlay, condition video and clip: $(DEMO)/media/)"

demo-head: $(STAMP) ## Make the portrait of an astronaut smile like the man in the head clip
	$(BIN)/emosh init $(DEMO)_head
	$(BIN)/emosh track $(DEMO)_head/inputs/driving/demo_head_single_face.mp4 -o $(DEMO)_head
	$(BIN)/emosh animate $(DEMO)_head --ref $(DEMO)_head/inputs/reference/astronaut_halfbody.png --generator preview \
		--i-have-consent
	$(BIN)/emosh animate $(DEMO)_head --ref $(DEMO)_head/inputs/reference/astronaut_halfbody.png --i-have-consent \
		-o $(DEMO)_head/demo.mp4
	$(BIN)/emosh eval $(DEMO)_head -o $(DEMO)_head/report.json
	$(BIN)/emosh export $(DEMO)_head --what side-by-side -o $(DEMO)_head/side_by_side.mp4
	@echo "result: $(DEMO)_head/demo.mp4, beside driver, condition and preview: $(DEMO)_head/side_by_side.mp4"
	@echo "report: $(DEMO)_head/report.json"

test: $(STAMP) ## Run the tests
	$(BIN)/python -m pytest -q

lint: $(STAMP) ## Check the style, change nothing
	$(BIN)/ruff check .

fmt: $(STAMP) ## Sort imports and fix what ruff can fix
	$(BIN)/ruff check --fix .

check: lint test ## Style and tests

bench-raster: $(STAMP) ## Time rasteriser and condition pictures (the kernels' tests first)
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python tests/benchmarks/bench_raster.py

gpu: ## Kernels and benchmarks that need CUDA, with the python3 on the path; installs nothing
	bash scripts/gpu.sh

bench-retarget: $(STAMP) ## Measure contacts and steps after retargeting (its tests first)
	$(BIN)/python tests/benchmarks/bench_retarget.py

bench-preview: demo ## Time the preview generator (its tests first)
	$(BIN)/python tests/benchmarks/bench_preview.py $(DEMO)

bench-synth: $(STAMP) ## Time synthetic people and let a detector look at them (their tests first)
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python tests/benchmarks/bench_synth.py $(if $(ASSETS),--assets $(ASSETS))

bench-track: $(STAMP) ## Time the tracker at 720p beside the detector alone (its tests first); MINUTES=10 for memory
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python tests/benchmarks/bench_track.py $(if $(MINUTES),--minutes $(MINUTES))

bench-track-accuracy: $(STAMP) ## Score the tracker and its ablations against synthetic truth; ASSETS=pack SPLIT=test
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python tests/benchmarks/bench_track_accuracy.py $(if $(ASSETS),--assets $(ASSETS)) $(if $(SPLIT),--split $(SPLIT))

bench-mini: $(STAMP) ## Score the generator mini beside preview on people it never saw (its tests first); CLIPS=12 ASSETS=pack
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python tests/benchmarks/bench_mini.py $(if $(CLIPS),--clips $(CLIPS)) $(if $(ASSETS),--assets $(ASSETS))

train-mini: $(STAMP) ## Train the generator that ships, MINUTES=10 at a time, ASSETS=pack; the next call goes on
	$(BIN)/emosh init $(MINI)
	$(BIN)/emosh train $(MINI) --config scripts/mini.toml --set minutes=$(or $(MINUTES),10) $(if $(ASSETS),--set assets=$(ASSETS))
	@echo "to ship it: $(BIN)/python scripts/ship_mini.py $(MINI)/runs/mini"

bench-wan: $(STAMP) ## Time a step of the full-size generator on random weights beside diffusers' (its tests first; CUDA)
	$(BIN)/python tests/benchmarks/bench_wan.py --out benchmarks/results/wan.json $(if $(TINY),--tiny)

bench-demo: demo demo-head ## Write the figures of both demos to benchmarks/results/demo.json
	$(BIN)/python tests/benchmarks/bench_demo.py $(DEMO) $(DEMO)_head

clean: ## Remove what the targets made, but not .venv
	rm -rf $(DEMO) $(DEMO)_head build *.egg-info .pytest_cache .ruff_cache .hypothesis $(STAMP)
