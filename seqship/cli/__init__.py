"""The commands. Each is one call into the package, and what it prints."""

from __future__ import annotations

from typing import Annotated

import typer

from seqship import __version__
from seqship.cli import bundles, data, deployment, models, recipes, scoring, selftest, serving, validation

HELP = """Ships recurrent Keras models to production: trains or takes an LSTM, GRU or SimpleRNN model, exports it to
SavedModel and ONNX with native operators, proves that all of them compute the same, and writes a bundle.

Start with:  seqship ship ecg-gru

Exit codes: 0 done and proven, 1 the proof failed, 2 your input, 130 interrupted.
"""

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, help=HELP)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Prints the version, or the help where no command is given."""
    if version:
        print(f"seqship {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())


app.command("list", short_help="Show the recipes.")(recipes.list_recipes)
app.command("ship", short_help="Data to proven bundle: train, export, verify.")(recipes.ship_command)
app.command("data", short_help="Show what a recipe is trained on.")(data.data_command)
app.command("train", short_help="Train a recipe, no export.")(recipes.train_command)
app.command("export", short_help="Export and prove a model of your own.")(models.export_command)
app.command("verify", short_help="Check a bundle again, from its files alone.")(bundles.verify_command)
app.command("selftest", short_help="Test the proof: wrong exports must fail it.")(selftest.selftest_command)
app.command("inspect", short_help="Show each recurrent layer and its operator.")(models.inspect_command)
app.command("predict", short_help="Answer for sequences, without TensorFlow.")(bundles.predict_command)
app.command("score", short_help="Answer for files of sequences, with Apache Beam.", context_settings=scoring.PASSED_ON)(
    scoring.score_command
)
app.command("validate", short_help="Bless a bundle that a real server serves right.")(validation.validate_command)
app.command("push", short_help="Deploy a bundle as the newest version of a model.")(deployment.push_command)
app.command("rollback", short_help="Withdraw the newest version.")(deployment.rollback_command)
app.command("label", short_help="Give labels to versions.")(deployment.label_command)
app.command("versions", short_help="Show what has been pushed.")(deployment.versions_command)
app.command("serve", short_help="TensorFlow Serving's API on onnxruntime.", context_settings=serving.PASSED_ON)(
    serving.serve_command
)
