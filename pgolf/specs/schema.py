"""The JSON schema of a spec file, for editors and for the generated reference."""

from typing import Any

from pgolf.specs.experiment import Experiment
from pgolf.specs.search import SEARCH
from pgolf.specs.sweeps import SWEEP


def file_schema() -> dict[str, Any]:
    """Return the JSON schema of a spec file: an experiment, and the keys that only files have."""
    document = Experiment.model_json_schema()
    for key in ("recipe", "program"):  # null is not a way to leave one out
        value = document["properties"][key]
        (reference,) = [part for part in value.pop("anyOf") if "$ref" in part]
        document["properties"][key] = reference | {"description": value["description"]}
    document["anyOf"] = [{"required": ["recipe"]}, {"required": ["program"]}, {"required": ["extends"]}]
    swept, searched = (each.json_schema(ref_template="#/$defs/{model}") for each in (SWEEP, SEARCH))
    document["$defs"] |= swept.pop("$defs") | searched.pop("$defs") | {"Search": searched}
    document["properties"] |= {
        "extends": {"type": "string", "description": "A shipped experiment or a file to build on."},
        "overlays": {"type": "object", "description": "Named changes, applied by --with NAME."},
        "search": {"$ref": "#/$defs/Search"},
        "sweep": swept | {"description": "Values that vary: one spec then stands for several."},
    }
    return document
