"""The loss plot: one line for each run and node."""

from pathlib import Path

from fedstate.errors import FedstateError
from fedstate.verify.report import Report

LINE_STYLES = ("-", "--", ":", "-.")


def plot_losses(report: Report, file: Path) -> None:
    """Draw the loss history that each node's app has told, run by run, into a PNG file.

    Raises
    ------
    FedstateError
        If matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
    except ImportError:
        raise FedstateError(
            "The loss plot needs matplotlib; install it with: pip install 'fedstate[plot]'."
        ) from None
    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import MaxNLocator

    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    for colour, run in enumerate(report.runs):
        holdings = run.told.holdings if run.told else ()
        for style, holding in enumerate(sorted(holdings, key=lambda one: one.partition_id)):
            # As many as there are of both: a history need not have one value for each step.
            rounds = [entry.round for entry in holding.entries][: len(holding.losses)]
            axes.plot(
                rounds,
                holding.losses[: len(rounds)],
                marker="o",
                color=f"C{colour}",
                linestyle=LINE_STYLES[style % len(LINE_STYLES)],
                label=f"run …{str(run.run_id)[-4:]}, partition {holding.partition_id}",
            )
    axes.set(
        title="What each client remembers: its training loss, round by round",
        xlabel="round",
        ylabel="training loss",
    )
    # Half a round more on both sides: a single round would otherwise be labelled in fractions.
    axes.set_xlim(0.5, max(run.rounds for run in report.runs) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.3)
    axes.legend(ncols=max(1, len(report.runs)))
    figure.savefig(file, dpi=120)
    plt.close(figure)
