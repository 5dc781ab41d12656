"""How objects and the scenes around them are cut out for scene–object contrast."""

from dataclasses import dataclass

from .check import check


@dataclass(frozen=True)
class SceneCrops:
    """How objects and scenes are cut out and recoloured; the defaults are the published values."""

    least: float = 56.0
    """Least side of a box, pixels; 28 suits scenes of 320 pixels. Smaller boxes are left out."""
    window: int = 256
    """A smaller object (by area, of window × window pixels) is seen in a window up to this wide and high around it."""
    scale: tuple[float, float] = (0.2, 1.0)
    """Share of the window's area in an object view."""
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """Width over height of an object view, before it is resized."""
    others: tuple[int, int] = (2, 5)
    """How many other boxes a scene takes in, least and most; as many as there are in an image with fewer."""
    jitter: float = 0.8
    """Chance of a change of colours."""
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.1
    """Largest change of each; a factor up to 1 ± value, for hue a turn of up to ± value."""
    grey: float = 0.2
    """Chance of a view without colours."""
    blur: float = 0.5
    """Chance of a Gaussian blur."""
    sigma: tuple[float, float] = (0.1, 2.0)
    """Least and most standard deviation of the blur, in pixels of the view."""
    flip: float = 0.5
    """Chance of a mirrored view."""

    def __post_init__(self):
        chance = {
            name: (getattr(self, name), 0 <= getattr(self, name) <= 1, "a chance from 0 to 1")
            for name in ("jitter", "grey", "blur", "flip")
        }
        change = {
            name: (getattr(self, name), getattr(self, name) >= 0, "0 or more")
            for name in ("brightness", "contrast", "saturation")
        }
        check(
            "crops",
            least=(self.least, self.least > 0, "pixels, more than 0"),
            window=(self.window, self.window >= 1, "pixels, 1 or more"),
            scale=(self.scale, 0 < self.scale[0] <= self.scale[1] <= 1, "0 < smallest <= largest <= 1"),
            ratio=(self.ratio, 0 < self.ratio[0] <= self.ratio[1], "0 < smallest <= largest"),
            others=(self.others, 1 <= self.others[0] <= self.others[1], "1 <= least <= most"),
            hue=(self.hue, 0 <= self.hue <= 0.5, "0 to 0.5"),
            sigma=(self.sigma, 0 < self.sigma[0] <= self.sigma[1], "0 < smallest <= largest"),
            **chance,
            **change,
        )
