"""The pictures: where things stand in them, what their labels say, and that every usual input gives one."""

import itertools
import math
import threading
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from scipy.stats import norm

from vi import pictures
from vi.pictures import style

RNG = np.random.default_rng(0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "figure.png"


@pytest.fixture
def drawn(monkeypatch) -> list[Figure]:
    """The figures that have been written."""
    written: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: (written.append(self), save(self, *a, **k))[1])
    return written


def assert_readable(path: Path, width: float) -> None:
    """A PNG of about this width in inches at 200 dpi, small, and neither empty nor squashed."""
    picture = imread(path)
    assert 0.8 * width < picture.shape[1] / 200 < 1.1 * width
    assert 60 < picture.shape[0] < 1000
    assert picture[..., :3].std() > 0.01
    assert path.stat().st_size < 300 * 1024


def text(axes) -> tuple[str, str, str]:
    return axes.get_title(), axes.get_xlabel(), axes.get_ylabel()


def test_the_manifold_grid_is_in_the_order_in_which_it_is_drawn():
    z = pictures.manifold_grid(5, low=0.1, high=0.9).reshape(5, 5, 2)
    quantiles = norm.ppf(np.linspace(0.1, 0.9, 5))
    for row in range(5):
        np.testing.assert_allclose(z[row, :, 0], quantiles, atol=1e-6)
        np.testing.assert_allclose(z[:, row, 1], quantiles[::-1], atol=1e-6)


def test_the_corners_of_the_manifold_grid():
    z = pictures.manifold_grid()
    edge = norm.ppf(0.95)
    size = pictures.MANIFOLD_SIZE
    assert z.shape == (size**2, 2)
    corners = z[[0, size - 1, -size, -1]]
    np.testing.assert_allclose(corners, edge * np.array([[-1, 1], [1, 1], [-1, -1], [1, -1]]), rtol=1e-5)


@pytest.mark.parametrize("labels", [None, RNG.integers(10, size=10_000)])
def test_two_latents_are_drawn_as_they_are(path, drawn, labels):
    means = RNG.normal(size=(10_000, 2))
    pictures.latent_space(path, means, labels, title="MNIST")
    assert_readable(path, 3.4)
    axes = drawn[0].axes[0]
    assert text(axes) == ("MNIST", "$z_1$", "$z_2$")
    dots = axes.collections[0].get_offsets()
    np.testing.assert_array_equal(np.sort(dots, axis=0), np.sort(means, axis=0))


def test_the_colour_bar_names_the_labels_at_the_centres_of_their_colours(path, drawn):
    means = RNG.normal(size=(6, 2))
    labels = np.array([7, 3, 3, 12, 7, 3])
    pictures.latent_space(path, means, labels)
    axes = drawn[0].axes[0]
    (bar,) = axes.child_axes
    assert bar.get_ylabel() == "label"
    assert [tick.get_text() for tick in bar.get_yticklabels()] == ["3", "7", "12"]
    np.testing.assert_array_equal(bar.get_yticks(), [0, 1, 2])
    assert bar.get_position().height == pytest.approx(axes.get_position().height)
    colours = matplotlib.colors.to_rgba_array(pictures.CLASSES[:3])[:, :3]
    dots = axes.collections[0]
    for point, colour in zip(dots.get_offsets(), dots.get_facecolors(), strict=True):
        label = labels[np.all(means == point, axis=1)][0]
        np.testing.assert_allclose(colour[:3], colours[[3, 7, 12].index(label)])


def test_no_labels_no_colour_bar(path, drawn):
    pictures.latent_space(path, RNG.normal(size=(10, 2)))
    assert len(drawn[0].axes) == 1
    assert not drawn[0].axes[0].child_axes


def test_many_labels_share_few_ticks(path, drawn):
    pictures.latent_space(path, RNG.normal(size=(500, 2)), np.arange(500) % 50)
    assert len(drawn[0].axes[0].child_axes[0].get_yticks()) <= 12


def test_more_than_two_latents_are_drawn_by_their_principal_components(path, drawn):
    means = RNG.normal(size=(400, 5)) * [0.1, 3, 0.1, 1, 0.1]
    pictures.latent_space(path, means, RNG.integers(3, size=400), title="β = 1")
    assert_readable(path, 3.4)
    title, x, y = text(drawn[0].axes[0])
    assert title == "β = 1\nprincipal components of 5 latent dimensions"
    shares = np.sort(np.linalg.eigvalsh(np.cov(means.T)))[::-1] / np.trace(np.cov(means.T))
    assert x == f"first principal component of E[z|x] ({shares[0]:.0%})"
    assert y == f"second principal component of E[z|x] ({shares[1]:.0%})"
    dots = np.asarray(drawn[0].axes[0].collections[0].get_offsets())
    assert np.ptp(dots[:, 0]) == pytest.approx(np.ptp(means[:, 1]), rel=0.05)


def test_a_collapsed_posterior_is_a_point(path):
    pictures.latent_space(path, np.zeros((50, 5)), np.zeros(50, int))
    assert_readable(path, 3.4)


@pytest.mark.parametrize("labels", [None, np.arange(300) % 3])
@pytest.mark.parametrize("scale", [0, 1])
def test_one_latent_is_drawn_as_histograms(path, drawn, labels, scale):
    pictures.latent_space(path, scale * RNG.normal(size=(300, 1)), labels)
    assert_readable(path, 3.4)
    axes = drawn[0].axes[0]
    assert text(axes) == ("", "$z_1$", "number of data" if labels is None else "label")
    assert len(axes.patches) == (1 if labels is None else 3)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_the_manifold_is_tiled_in_the_order_of_its_grid(path, drawn, channels):
    images = np.zeros((9, 4, 6, channels)) + np.arange(9)[:, None, None, None] / 8
    pictures.manifold(path, images)
    assert_readable(path, 3.4)
    axes = drawn[0].axes[0]
    assert text(axes) == ("", "$z_1$", "$z_2$")
    picture = np.asarray(axes.images[0].get_array()).reshape(12, 18, -1)
    np.testing.assert_allclose(picture[::4, ::6, 0], np.arange(9).reshape(3, 3) / 8)
    left, right, bottom, top = axes.images[0].get_extent()
    assert left < right
    assert bottom < top


def test_the_ticks_of_the_manifold_are_values_of_z(path, drawn):
    pictures.manifold(path, RNG.random((225, 8, 8, 1)))
    axes = drawn[0].axes[0]
    z = norm.ppf(np.linspace(0.05, 0.95, 15))
    for axis in (axes.xaxis, axes.yaxis):
        for position, label in zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=True):
            assert float(label.get_text().strip("$")) == pytest.approx(z[int(position)], abs=0.005)
    assert "$-0.00$" not in [label.get_text() for label in axes.get_xticklabels()]


def test_the_ticks_of_narrow_images_do_not_overlap(path, drawn):
    pictures.latent_space_and_manifold(path, RNG.normal(size=(50, 2)), None, RNG.random((225, 28, 20, 1)))
    drawn[0].draw_without_rendering()
    boxes = [label.get_window_extent() for label in drawn[0].axes[1].get_xticklabels()]
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))


@pytest.mark.parametrize("labels", [None, RNG.integers(10, size=2_000)])
def test_the_latent_space_and_the_manifold_beside_each_other(path, drawn, labels):
    pictures.latent_space_and_manifold(path, RNG.normal(size=(2_000, 2)), labels, RNG.random((225, 28, 28, 1)))
    assert_readable(path, 7)
    left, right = drawn[0].axes
    assert text(left) == text(right) == ("", "$z_1$", "$z_2$")
    assert len(left.collections[0].get_offsets()) == 2_000
    assert np.shape(right.images[0].get_array()) == (420, 420)
    assert left.get_position().height == pytest.approx(right.get_position().height, rel=0.05)


def two_hills(z):
    """Two Gaussians of one height at (±2, 0)."""
    return np.logaddexp(*(-((z - [side, 0]) ** 2).sum(axis=1) / 0.6 for side in (2, -2)))


def test_a_density_is_shown_where_it_lies_also_where_q_does_not(path, drawn):
    z = 0.5 * RNG.normal(size=(1_000, 2)) + [2, 0]
    pictures.density(path, two_hills, z)
    assert_readable(path, 3.4)
    axes = drawn[0].axes[0]
    np.testing.assert_allclose(axes.get_xlim(), [-2 - (0.6 * 8) ** 0.5, 2 + (0.6 * 8) ** 0.5], atol=0.5)
    assert np.ptp(axes.get_xlim()) == pytest.approx(np.ptp(axes.get_ylim()))
    (samples,) = [c for c in axes.collections if len(c.get_offsets()) == 1_000]
    np.testing.assert_allclose(samples.get_offsets(), z)
    np.testing.assert_allclose(axes.child_axes[0].get_yticks(), [-8, -4.5, -2, -0.5, 0])


@pytest.mark.parametrize("log_density", [lambda z: np.zeros(len(z)), lambda z: np.log((z > 0).all(axis=1))])
@pytest.mark.parametrize("scale", [0, 1])
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_a_flat_density_an_edge_and_a_point_mass(path, log_density, scale):
    pictures.density(path, log_density, scale * RNG.normal(size=(100, 2)))
    assert_readable(path, 3.4)


@pytest.mark.parametrize("event", [(28, 28, 1), (32, 32, 3), (12,), (6, 2)])
@pytest.mark.parametrize("n", [1, 12])
def test_reconstructions_of_any_event(path, event, n):
    x = RNG.random((n, *event))
    pictures.reconstructions(path, x, x + RNG.normal(size=x.shape))
    images = len(event) == 3
    assert_readable(path, 7 * (min(n, 10) + 1) / 11 if images else 3.4 if n == 1 else 7)


def test_seven_data_of_one_feature(path, drawn):
    pictures.reconstructions(path, np.arange(7.0)[:, None], np.zeros((7, 1)))
    assert_readable(path, 7)
    assert len(drawn[0].axes) == 7


def test_reconstructions_of_a_table_are_points_over_the_names_of_its_columns(path, drawn):
    pictures.reconstructions(path, RNG.random((3, 2)), RNG.random((3, 2)), ["age", "height"])
    for axes in drawn[0].axes:
        assert {line.get_linestyle() for line in axes.lines} == {"None"}
        assert [label.get_text() for label in axes.get_xticklabels()] == ["age", "height"]


NAMES = ["age", "a very long name of a column in dollars", "$a$ and $b$"]


@pytest.mark.parametrize("names", [NAMES, [f"gene {i}" for i in range(40)]])
def test_no_line_connects_the_columns_of_a_table(path, drawn, names):
    x = RNG.random((12, len(names)))
    pictures.reconstructions(path, x, x, names, "sd")
    pictures.samples(path, x[0], x, names, "sd")
    pictures.prior_samples(path, x, names, "sd")
    for figure in drawn[:2]:
        assert {line.get_linestyle() for axes in figure.axes for line in axes.lines} == {"None"}
    (axes,) = drawn[2].axes
    assert len(axes.patches) == 2 * len(names)  # two bars for each column
    segments = axes.collections[0].get_segments()
    assert [np.ptp(segment[:, 1]) for segment in segments] == [0] * len(names)
    np.testing.assert_allclose([segment[0, 1] for segment in segments], np.median(x, axis=0))
    for axes in (drawn[1].axes[0], drawn[2].axes[0]):
        assert text(axes)[1:] == ("column", "sd")
    ticks = [label.get_text() for label in axes.get_xticklabels()]
    assert (len(ticks) == 3 and ticks[0] == "age") == (len(names) == 3)


def test_samples_of_the_prior_say_what_they_are(path, drawn):
    pictures.prior_samples(path, RNG.random((10, 4, 4, 1)))
    pictures.prior_samples(path, RNG.random((10, 4)))
    assert drawn[0].axes[0].get_title() == r"E[x|z] of 9 draws of $z \sim p(z)$"
    assert drawn[1].axes[0].get_title() == r"10 draws of $x \sim p(x|z)$, $z \sim p(z)$"


def test_grey_pixels_stay_grey_beside_colours(path):
    means, images = RNG.normal(size=(2_000, 2)), RNG.random((225, 8, 8, 1))
    pictures.latent_space_and_manifold(path, means, np.arange(2_000) % 10, images)
    picture = (imread(path)[..., :3] * 255).round().astype(int)
    inside = picture[20:-80, -500:-20]  # the manifold, whose pixels are all grey
    assert np.ptp(inside, axis=-1).max() == 0
    assert len(np.unique(inside)) > 20


def test_data_stand_above_their_reconstructions(path, drawn):
    x = RNG.random((3, 4, 4, 1))
    pictures.reconstructions(path, x, np.zeros_like(x))
    axes = drawn[0].axes[0]
    picture = np.asarray(axes.images[0].get_array())
    np.testing.assert_allclose(picture[:4, 4:8], x[1, ..., 0], rtol=1e-6)
    assert not picture[4:].any()
    rows = {label.get_text(): y for y, label in zip(axes.get_yticks(), axes.get_yticklabels(), strict=True)}
    assert rows == {"data": 1, "reconstruction": 0}


def test_images_beyond_the_unit_interval_share_one_scale(path, drawn):
    pictures.reconstructions(path, np.full((1, 2, 2, 1), -1.0), np.full((1, 2, 2, 1), 3.0))
    picture = np.asarray(drawn[0].axes[0].images[0].get_array())
    np.testing.assert_array_equal(picture[:, 0], [0, 0, 1, 1])


@pytest.mark.parametrize("event", [(28, 28, 1), (32, 32, 3), (12,), (1,), (300,)])
def test_prior_samples_of_any_event(path, event):
    pictures.prior_samples(path, RNG.random((64, *event)).round())
    assert_readable(path, 3.4)


def pixels(axes) -> np.ndarray:
    return np.asarray(axes.images[0].get_array())


def test_samples_stand_beside_their_datum(path, drawn):
    x, reconstructions = RNG.random((4, 6, 1)), RNG.random((25, 4, 6, 1))
    pictures.samples(path, x, reconstructions)
    assert_readable(path, 3.4)
    left, right = drawn[0].axes
    assert (left.get_title(), right.get_title()) == ("$x$", r"E[x|z] of 25 draws of $z \sim q(z|x)$")
    np.testing.assert_allclose(pixels(left), x[..., 0], rtol=1e-6)
    tiles = pixels(right).reshape(5, 4, 5, 6).swapaxes(1, 2).reshape(25, 4, 6)
    np.testing.assert_allclose(tiles, reconstructions[..., 0], rtol=1e-6)


def test_a_datum_and_its_samples_share_one_scale(path, drawn):
    pictures.samples(path, np.full((2, 2, 1), -1.0), np.full((4, 2, 2, 1), 3.0))
    left, right = drawn[0].axes
    assert (pixels(left).max(), pixels(right).min()) == (0, 1)


@pytest.mark.parametrize("event", [(12,), (1,), (300,), (6, 2)])
def test_samples_of_other_events_are_lines(path, drawn, event):
    x, reconstructions = RNG.random(event), RNG.random((25, *event))
    pictures.samples(path, x, reconstructions)
    assert_readable(path, 3.4)
    *lines, datum = drawn[0].axes[0].lines
    np.testing.assert_array_equal([line.get_ydata() for line in lines], reconstructions.reshape(25, -1))
    np.testing.assert_array_equal(datum.get_ydata(), x.ravel())


@pytest.mark.parametrize("panels", [2, 3])
@pytest.mark.parametrize("n", [25, 3])
def test_modes_stand_where_their_images_stand(path, drawn, panels, n):
    images = RNG.random((3, n, 8, 8, 1)).round()
    pictures.modes(path, *images[:panels], *[None] * (3 - panels))
    assert_readable(path, 7 * panels / 3)
    assert [axes.get_title() for axes in drawn[0].axes] == [
        "$x$",
        r"mode of $p(x|z)$, $z \sim q(z|x)$",
        r"mode of $p(x|z)$, $z \sim p(z)$",
    ][:panels]
    for axes, panel in zip(drawn[0].axes, images, strict=False):
        np.testing.assert_array_equal(pixels(axes)[:8, :8], panel[0, ..., 0])
        assert len(pixels(axes)) == (40 if n == 25 else 8)


def metrics(epochs: int) -> pd.DataFrame:
    epoch = np.arange(1, epochs + 1)
    frame = pd.DataFrame({"step": 100 * epoch, "epoch": epoch, "seconds": 1.0 * epoch, "train/bound": np.nan})
    for part in ("train", "validation"):
        frame[f"{part}/nll"] = 70 + 2000 * np.exp(-1.0 * epoch) + 20 / epoch
        frame[f"{part}/kl"] = 25 - 10 / epoch
        frame[f"{part}/elbo"] = -frame[f"{part}/nll"] - frame[f"{part}/kl"]
    frame["validation/iw_bound"] = (frame["validation/elbo"] + 3).where(epoch == epochs)
    return frame


def test_curves_are_the_negative_elbo_and_its_terms_in_nats_per_datum(path, drawn):
    frame = metrics(50)
    pictures.curves(path, frame)
    assert_readable(path, 7)
    panels = drawn[0].axes
    assert [len(axes.lines) for axes in panels] == [3, 2, 2]
    assert {axes.get_xlabel() for axes in panels} == {"epoch"}
    assert {axes.get_ylabel() for axes in panels} == {"nats per datum"}
    np.testing.assert_allclose(panels[0].lines[0].get_ydata(), -frame["train/elbo"])
    np.testing.assert_allclose(panels[2].lines[1].get_ydata(), frame["validation/kl"])
    assert len({line.get_linestyle() for line in panels[0].lines}) == 3


def test_only_the_first_epochs_may_leave_the_curves(path, drawn):
    frame = metrics(50)
    frame.loc[40, "validation/nll"] = 130
    pictures.curves(path, frame)
    low, high = drawn[0].axes[1].get_ylim()
    nll = frame[["train/nll", "validation/nll"]].to_numpy()
    assert nll.max() > 2 * high
    assert low < nll.min()
    assert nll[6:].max() < high


@pytest.mark.parametrize("epochs", [1, 2, 20])
def test_curves_of_incomplete_metrics(path, drawn, epochs):
    frame = metrics(epochs).assign(**{"train/kl": np.nan, "validation/nll": np.inf})
    pictures.curves(path, frame.drop(columns=["validation/kl", "validation/iw_bound"]))
    assert_readable(path, 7)
    assert [len(axes.lines) for axes in drawn[0].axes] == [2, 1, 0]
    assert drawn[0].axes[2].texts[0].get_text() == "not recorded"


def test_constant_curves(path):
    pictures.curves(path, metrics(20).assign(**{"train/kl": [1.0] + [0.0] * 19, "validation/kl": 0.0}))
    assert_readable(path, 7)


def test_curves_without_any_value(path):
    pictures.curves(path, pd.DataFrame({"epoch": [1, 2]}))
    assert_readable(path, 7)


SWEEP = pd.DataFrame({"beta": [1, 0.25, 4], "rate": [24.0, 38, 9], "distortion": [74.0, 66, 101]})


def test_rate_and_distortion_of_a_sweep(path, drawn):
    errors = {"rate standard error": [0.2, 0.5, np.nan], "distortion standard error": [0.3, 1.0, np.nan]}
    pictures.rate_distortion(path, SWEEP.assign(**errors))
    assert_readable(path, 3.4)
    axes = drawn[0].axes[0]
    np.testing.assert_array_equal(axes.lines[0].get_xydata(), [[9, 101], [24, 74], [38, 66]])
    names = {note.get_text(): note.xy for note in axes.texts}
    assert names == {r"$\beta = 4$": (9, 101), r"$\beta = 1$": (24, 74), r"$\beta = 0.25$": (38, 66)}
    horizontal, vertical = (bars.get_segments() for bars in axes.containers[0].lines[2])
    np.testing.assert_allclose([np.ptp(bar[:, 0]) for bar in horizontal], [0, 0.4, 1.0], atol=1e-6)
    np.testing.assert_allclose([np.ptp(bar[:, 1]) for bar in vertical], [0, 0.6, 2.0], atol=1e-6)
    drawn[0].draw_without_rendering()
    assert max(note.get_window_extent().x1 for note in axes.texts) < axes.get_window_extent().x1


@pytest.mark.parametrize("rows", [1, 3])
def test_a_sweep_of_single_seeds(path, rows):
    pictures.rate_distortion(path, SWEEP[:rows])
    assert_readable(path, 3.4)


@pytest.mark.parametrize(("channels", "tolerance"), [(1, 12 / 255), (3, 0)])
def test_few_colours_are_close_to_all_of_them_and_coloured_images_keep_theirs(path, monkeypatch, channels, tolerance):
    images = RNG.random((3, 25, 8, 8, channels))
    pictures.modes(path, *images)
    small = imread(path)[..., :3]
    monkeypatch.setattr(style, "_with_palette", lambda picture: picture)
    pictures.modes(path, *images)
    assert np.abs(imread(path)[..., :3] - small).max() <= tolerance
    assert (small == 1).all(axis=-1).mean() > 0.05


def test_classes_keep_their_colours(path):
    pictures.latent_space(path, RNG.normal(size=(2_000, 2)), np.arange(2_000) % 10)
    there = {tuple(colour) for colour in (imread(path)[..., :3] * 255).round().astype(int).reshape(-1, 3)}
    for colour in matplotlib.colors.to_rgba_array(pictures.CLASSES)[:, :3]:
        assert tuple((colour * 255).round().astype(int)) in there


def test_threads_draw_alike_and_leave_the_style_alone(tmp_path):
    before = dict(matplotlib.rcParams)
    means = RNG.normal(size=(100, 2))
    paths = [tmp_path / f"{i}.png" for i in range(4)]
    threads = [threading.Thread(target=pictures.latent_space, args=(path, means)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({path.read_bytes() for path in paths}) == 1
    assert dict(matplotlib.rcParams) == before


def test_power_laws_are_drawn_with_their_slopes_beside_dotted_ones(path, drawn):
    rows = [
        {"estimator": name, "samples": s, "group": group, "snr": s**slope, "snr_error": 0.1, "variance": 0.0}
        for name, slope in (("iwae", -0.5), ("dreg", 0.5), ("nothing", math.nan))
        for group in ("generative", "inference")
        for s in (1, 10, 100)
    ]
    gradients = pd.DataFrame(rows).assign(variance_error=0.0)
    slopes = gradients[["estimator", "group"]].drop_duplicates().assign(quantity="snr", slope=-0.5, slope_error=0.004)
    slopes.loc[slopes["estimator"] == "nothing", "slope"] = math.nan
    pictures.power_laws(path, gradients, slopes, "snr")
    assert_readable(path, 7.0)
    left, right = drawn[0].axes
    assert [axes.get_title() for axes in (left, right)] == ["θ, generative", "φ, inference"]
    texts = [text.get_text() for text in right.get_legend().get_texts()]
    assert len(texts) == 4
    assert any(r"iwae:  $\mathrm{SNR} \propto S^{-0.500 \pm 0.004}$" in text for text in texts)
    assert any("nothing:  no slope" in text for text in texts)
    dotted = [line for line in right.get_lines() if line.get_linestyle() == ":"]
    slopes_drawn = [np.diff(np.log(line.get_ydata()))[0] / np.diff(np.log(line.get_xdata()))[0] for line in dotted]
    np.testing.assert_allclose(sorted(slopes_drawn), [-0.5, 0.5])
    pictures.power_laws(path, gradients, slopes.assign(quantity="variance"), "variance")  # none of it has a logarithm
    assert_readable(path, 7.0)
