"""The parts of a procedural face, painted back to front.

Every number is in frame units (see procedural_canvas), which puts the eyes, the nose, the mouth and
the hair inside the paper's named boxes at every size.
"""

import numpy as np

from csi_tf.data.procedural_canvas import Patch, bump, colour, ramp, wave

SKIN = ((0.38, 0.24, 0.17), (0.61, 0.41, 0.29), (0.85, 0.63, 0.49), (0.96, 0.78, 0.67))
HAIR = ((0.07, 0.06, 0.07), (0.27, 0.15, 0.09), (0.58, 0.27, 0.10), (0.90, 0.70, 0.36))
IRIS = ((0.20, 0.11, 0.06), (0.24, 0.14, 0.07), (0.22, 0.38, 0.24), (0.25, 0.46, 0.66))
BACKDROP = ((0.82, 0.62, 0.36), (0.45, 0.66, 0.42), (0.28, 0.60, 0.70), (0.45, 0.44, 0.78))
CLOTHES = ((0.17, 0.26, 0.42), (0.50, 0.22, 0.28), (0.62, 0.36, 0.22), (0.66, 0.58, 0.34))


class Face:
    """What the parts share: the pose, the palette and the light of n faces."""

    def __init__(self, factors: dict[str, np.ndarray]):
        self.factors = factors
        turn = factors["azimuth"] * np.float32(np.pi / 180)
        square = turn * turn
        self.sin = turn * (1 - square * (1 / 6 - square / 120))
        self.cos = np.sqrt(1 - self.sin * self.sin)
        self.width = 9.5 * factors["face_width"]
        self.height = np.float32(13.2)
        self.middle = np.float32(17.2)
        # The crop follows the eyes, as aligned photographs do: a turned head slides the other way.
        self.centre = 16 - 0.42 * self.width * self.sin
        self.skin = ramp(SKIN, factors["skin_tone"])
        self.hair = ramp(HAIR, factors["hair_colour"])
        self.light = factors["light_direction"]

    def across(self, place: float, depth: float) -> np.ndarray:
        """The column of a point of the head, given in head half-widths: sideways and forward."""
        return self.centre + self.width * (place * self.cos + depth * self.sin)

    def along(self, patch: Patch) -> tuple[np.ndarray, np.ndarray]:
        """(x, squared radius) in the head's own frame: its outline is where the radius is 1."""
        down = (patch.y - self.middle) / self.height
        jaw = np.maximum(down, 0)
        taper = 1.01 - 0.09 * down - 0.05 * jaw * jaw
        lean = self.width * self.sin * (0.22 * jaw)  # the chin is in front of the neck
        x = (patch.x - self.centre - lean) / (self.width * taper)
        square = down * down
        return x, x * x + square * (1 - 0.36 * np.clip(4 * down, 0, 1) * (1 - square))


def background(planes: np.ndarray, face: Face) -> None:
    patch = Patch(planes, 0, 32, 0, 32)
    base = ramp(BACKDROP, face.factors["background_hue"])
    glow = bump(((patch.x - 16) ** 2 + (patch.y - 12) ** 2) * (1 / 750))
    tone = 0.62 + 0.42 * glow + 0.07 * patch.texture(5) + 0.02 * patch.texture(23)
    slope = (patch.x - 16) * (face.light * (0.13 / 16))
    patch.planes[...] = base * (tone + slope)


def _strands(patch: Patch, face: Face) -> np.ndarray:
    """Locks that fan out from the crown, in [-1, 1]; those finer than two pixels are left out."""
    crown = face.centre - 0.1 * face.width * face.cos
    fan = (patch.x - crown) / (6.5 + 0.42 * np.maximum(patch.y - 1, 0))
    fan += 0.012 * wave(patch.y * 0.11)
    locks = 0.6 * wave(fan * 2.3 + 0.1) + 0.4 * wave(fan * 5.1 + 0.37)
    if patch.unit < 0.75:
        locks += 0.35 * wave(fan * 11.7 + 0.2)
    if patch.unit < 0.4:
        locks += 0.3 * wave(fan * 23.9)
    return locks


def _hair_outline(patch: Patch, face: Face, bottom: np.ndarray | float) -> np.ndarray:
    """Depth inside the hair's outer shape: a dome, straight sides, an arched end below `bottom`."""
    volume = face.factors["hair_volume"]
    wide = 1.02 * face.width + 0.5 + 2.6 * volume
    top = 3.3 - 2.9 * volume
    middle = np.float32(14.5)
    across = (patch.x - (face.centre - 0.06 * face.width * face.sin)) / wide
    above = np.maximum(middle - patch.y, 0) / (middle - top)
    square = across * across
    dome = (1 - np.sqrt(square + above * above)) * wide
    return np.minimum(dome, bottom + 2.8 - 1.7 * square - patch.y)


def back_hair(planes: np.ndarray, face: Face) -> None:
    patch = Patch(planes, 0, 32, 0, 32)
    bottom = 15.0 + 15 * face.factors["hair_length"]
    alpha = patch.cover(_hair_outline(patch, face, bottom), 0.7)
    locks = _strands(patch, face)
    tone = 0.72 + 0.14 * locks - 0.010 * (patch.y - 10) + face.light * 0.012 * (patch.x - 16)
    patch.paint(alpha, face.hair * tone + 0.03 * tone)


def shoulders(planes: np.ndarray, face: Face) -> None:
    patch = Patch(planes, 24, 32, 0, 32)
    centre = 16 - 0.25 * face.width * face.sin
    off = patch.x - centre
    neck = patch.cover(5.0 - np.abs(off), 0.8) * patch.cover(patch.y - 25, 1.0)
    patch.paint(neck, face.skin * (0.50 + off * face.light * 0.025 + 0.05 * (patch.y - 29)))
    edge = 27.2 + 0.018 * off * off
    cloth = ramp(CLOTHES, face.factors["background_hue"])
    alpha = patch.cover(patch.y - edge, 0.6) * patch.cover(np.abs(off) + patch.y * 0.9 - 30.5, 0.8)
    tone = 0.92 + off * face.light * 0.02 + 0.08 * patch.texture(29) - 0.012 * np.abs(off)
    patch.paint(alpha, cloth * tone)


def ears(planes: np.ndarray, face: Face) -> None:
    for side in (-1, 1):
        left, right = (2, 14) if side < 0 else (18, 30)
        patch = Patch(planes, 13, 23, left, right)
        x = (patch.x - face.across(1.02 * side, -0.22)) / 1.5
        y = (patch.y - 17.6) / 2.7
        square = x * x + y * y
        alpha = patch.cover((1 - np.sqrt(square)) * 1.8)
        patch.paint(alpha, face.skin * (0.93 - 0.3 * bump(square * 2.2) + 0.12 * side * face.light))


def head(planes: np.ndarray, face: Face) -> None:
    patch = Patch(planes, 3, 32, 3, 29)
    x, square = face.along(patch)
    alpha = patch.cover((1 - np.sqrt(square)) * 10.5)
    facing = np.sqrt(np.maximum(1.04 - square, 0))
    lit = x * (0.38 * face.light) - 0.012 * (patch.y - face.middle) + 0.36 * facing
    tone = 0.70 + lit - 0.10 * x * x
    # The forehead and the cheeks catch the light, the temples and the chin's sides do not.
    for side in (-1, 1):
        cheek = (patch.x - face.across(0.5 * side, 0.72)) / 3.6
        rise = (patch.y - 21.6 + 0.5 * face.factors["smile"]) / 2.7
        blob = bump(cheek * cheek + rise * rise)
        tone += (0.06 + 0.05 * face.factors["smile"]) * blob
        fold = (patch.x - face.across(0.36 * side, 0.8) - 0.32 * side * (patch.y - 23.5)) / 0.75
        span = bump(((patch.y - 24.2) / 2.6) ** 2)
        tone -= (0.05 + 0.05 * face.factors["smile"]) * span * bump(fold * fold)
    chin = bump(((patch.x - face.across(0, 0.62)) / 2.9) ** 2 + ((patch.y - 29.2) / 1.5) ** 2)
    tone += 0.07 * chin + 0.012 * patch.texture(61) + 0.02 * patch.texture(11)
    # Shadows on skin turn red, highlights lose it.
    shadow = 1 - tone
    for plane, base, tint in zip(patch.planes, face.skin, (0.86, 1.0, 1.08), strict=True):
        plane += alpha * (base * (1 - tint * shadow) - plane)


def blush(planes: np.ndarray, face: Face) -> None:
    strength = 0.15 + 0.07 * face.factors["smile"]
    for side in (-1, 1):
        left, right = (3, 17) if side < 0 else (15, 29)
        patch = Patch(planes, 18, 27, left, right)
        x = (patch.x - face.across(0.56 * side, 0.66)) / 3.2
        y = (patch.y - 22.2 + 0.5 * face.factors["smile"]) / 2.3
        alpha = bump(x * x + y * y) * strength
        patch.planes[1] *= 1 - alpha
        patch.planes[2] *= 1 - 0.8 * alpha


def beard(planes: np.ndarray, face: Face) -> None:
    patch = Patch(planes, 17, 32, 4, 28)
    x, square = face.along(patch)
    inside = patch.cover((1 - np.sqrt(square)) * 10.5)
    mouth = face.across(0, 0.82)
    middle = (mouth - face.centre) / face.width
    # -1, 0 and 1 at the near ear, the mouth and the far ear, however the head is turned.
    off = 1.2 * (x - middle) / (1 - x * middle)
    chin = patch.cover(patch.y - 28.0 + 8.5 * off * off, 2.6) * np.clip(
        (patch.y - 17.5) * 0.3, 0, 1
    )
    lip = (patch.x - mouth) / 4.4
    whisker = bump(lip * lip + ((patch.y - 24.6 - 0.9 * lip * lip) / 1.5) ** 2)
    grain = 0.90 + 0.10 * patch.texture(97)
    alpha = np.minimum(chin + 0.9 * whisker, 1) * inside * grain
    alpha *= 0.92 * face.factors["beard"]
    patch.paint(alpha, face.hair * 0.6)


def nose(planes: np.ndarray, face: Face) -> None:
    patch = Patch(planes, 13, 27, 8, 24)
    tip = 21.9 + 1.5 * face.factors["nose_length"]
    down = np.clip((patch.y - 14.5) / (tip - 14.5), 0, 1)
    fade = patch.cover(tip + 0.6 - patch.y, 1.6) * down
    ridge = face.across(0, 0.86) + (face.across(0, 1.06) - face.across(0, 0.86)) * down
    off = (patch.x - ridge) / (1.0 + 1.25 * down * down)
    round_ = np.maximum(1 - 0.4 * off * off, 0)
    side = off * round_ * round_ * (0.20 * face.light + 0.26 * face.sin)
    light = 0.14 * bump(off * off * 1.5) * down - 0.10 * bump((np.abs(off) - 1.25) ** 2 * 1.6)
    patch.shade(1 + fade * (light + side))
    across = face.across(0, 1.04)
    under = bump(((patch.x - across) / 2.7) ** 2 + ((patch.y - tip - 0.9) / 1.25) ** 2)
    ball = bump(((patch.x - across) / 1.5) ** 2 + ((patch.y - tip + 0.55) / 1.3) ** 2)
    patch.shade(1 - 0.34 * under + 0.13 * ball)
    for side_ in (-1, 1):
        hole = (patch.x - across - 1.05 * side_ * face.cos) / 0.85
        alpha = 0.6 * bump(hole * hole + ((patch.y - tip - 0.55) / 0.6) ** 2)
        patch.paint(alpha, face.skin * 0.30)


def mouth(planes: np.ndarray, face: Face) -> None:
    patch = Patch(planes, 22, 31, 7, 25)
    smile, opening = face.factors["smile"], face.factors["mouth_opening"]
    bend = 0.4 + 0.75 * smile * (1 - 0.3 * opening)  # a whole frown reads as a grimace
    half = (3.7 + 0.55 * smile) * (0.35 + 0.65 * face.cos)
    t = (patch.x - face.across(0, 0.82)) / half
    arch = 1 - t * t
    line = 25.9 + 0.3 * smile - bend * 1.45 * (t * t - 0.3)
    upper = line - 0.55 * opening * arch
    lower = line + 1.75 * opening * arch
    bow = 0.85 * arch * (1 - 0.25 * bump(t * t * 14))
    lips = patch.cover(np.minimum(patch.y - upper + bow, lower + 1.05 * arch - patch.y) * 0.9, 0.5)
    tone = 1 - 0.10 * patch.cover(line - patch.y) + face.light * 0.08 * t
    rose = face.skin * colour(0.88, 0.60, 0.62) + colour(0.06, 0.0, 0.015)
    patch.paint(lips, rose * tone)
    shine = bump(t * t * 3 + ((patch.y - lower - 0.5) / 0.5) ** 2)
    patch.shade(1 + 0.16 * shine)
    inner = np.minimum(patch.y - upper + 0.14, lower + 0.14 - patch.y)
    gap = patch.cover(inner * 0.9) * patch.cover((1.06 - np.abs(t)) * half)
    patch.paint(gap, colour(0.22, 0.05, 0.06))
    teeth = (
        patch.cover(np.minimum(patch.y - upper - 0.05, upper + 0.85 + 0.45 * smile - patch.y)) * gap
    )
    teeth = teeth * np.clip(1.5 - 1.3 * t * t, 0, 1) * np.clip(opening * 5 - 0.4, 0, 1)
    patch.paint(teeth, colour(0.93, 0.91, 0.87))
    # The corners and the hollow under the lower lip.
    corner = bump(((np.abs(t) - 1.08) * half / 0.9) ** 2 + ((patch.y - line) / 0.9) ** 2)
    hollow = bump(t * t * 2.2 + ((patch.y - lower - 1.9) / 0.9) ** 2)
    patch.shade(1 - 0.25 * corner - 0.13 * hollow)


def eyes(planes: np.ndarray, face: Face) -> None:
    opening = face.factors["eye_opening"]
    iris_colour = ramp(IRIS, face.factors["hair_colour"])
    for side in (-1, 1):
        left, right = (4, 17) if side < 0 else (15, 28)
        patch = Patch(planes, 11, 20, left, right)
        centre = face.across(0.51 * side, 0.76)
        half = 2.75 * (face.cos - 0.22 * side * face.sin)
        dx = patch.x - centre
        dy = patch.y - 16.0
        t = dx / half
        arch = 1 - t * t
        tilt = -0.22 * side * t
        socket = bump(t * t * 0.42 + ((dy + 0.6) / 3.4) ** 2)
        patch.shade(1 - 0.20 * socket)
        lid = (0.25 + 1.75 * opening) * arch
        low = (0.75 + 0.45 * opening) * arch
        above = dy - tilt + lid
        inside = patch.cover(np.minimum(above, low + tilt - dy) * 0.85)
        white = 0.95 - 0.16 * bump(above * above * 0.7) - 0.10 * t * t
        patch.paint(inside, colour(1.0, 0.985, 0.97) * white)
        look = face.factors["gaze"] * 1.15 + 1.1 * face.sin
        ix = dx - look
        radius = np.sqrt(ix * ix + (dy + 0.25) ** 2)
        ball = patch.cover(1.5 - radius) * inside
        glint = 0.75 + 0.35 * bump((ix * ix + (dy - 0.9) ** 2) * 0.5)
        patch.paint(ball, iris_colour * glint)
        patch.paint(patch.cover(0.72 - radius) * inside, colour(0.03, 0.03, 0.04))
        star = patch.cover(0.42 - np.sqrt((ix - 0.5) ** 2 + (dy + 0.85) ** 2))
        patch.paint(0.9 * star * inside, colour(1.0, 1.0, 1.0))
        lash = patch.stroke(above + 0.1, 0.32 + 0.12 * side * t)
        lash *= patch.cover((1.08 - np.abs(t)) * half)
        patch.paint(0.85 * lash, face.hair * 0.25 + colour(0.06, 0.04, 0.04))
        crease = patch.stroke(above + 0.95, 0.2) * np.clip(arch * 2, 0, 1)
        patch.shade(1 - 0.28 * crease)


def brows(planes: np.ndarray, face: Face) -> None:
    slope = face.factors["brow_angle"]
    for side in (-1, 1):
        left, right = (4, 17) if side < 0 else (15, 28)
        patch = Patch(planes, 9, 16, left, right)
        half = 3.1 * (face.cos - 0.22 * side * face.sin)
        t = (patch.x - face.across(0.52 * side, 0.76)) / half * side
        level = 11.9 + 1.3 * slope * t - 0.6 * (1 - t * t) * (1 + 0.4 * t)
        thick = (0.74 - 0.2 * t) * np.minimum(1.5 - 1.4 * t * t, 1)
        alpha = patch.cover((thick - np.abs(patch.y - level)) * 0.95, 0.5)
        patch.paint(0.9 * alpha, face.hair * 0.42)


def front_hair(planes: np.ndarray, face: Face) -> None:
    patch = Patch(planes, 0, 19, 2, 30)
    fringe = face.factors["fringe"]
    locks = _strands(patch, face)
    t = (patch.x - face.across(0, 0.35)) / face.width
    # Swept from a parting: higher on one side, dropping to the temples on both.
    swept = (t + 0.35) ** 2
    line = 5.0 + 5.7 * fringe + (1 - fringe) * (3.4 * swept - 1.0) + 5.0 * t * t * t * t
    line = line + (0.25 + 0.45 * fringe) * locks
    alpha = patch.cover(line - patch.y, 0.7)
    alpha *= patch.cover(_hair_outline(patch, face, 16.0), 0.7)
    ring = bump(((patch.y - 5.2 - 3.0 * t * t) / 3.0) ** 2 + (t - 0.45 * face.light) ** 2)
    tone = 0.84 + 0.16 * locks + ring * (0.30 + 0.22 * locks) + 0.20 * face.light * t
    patch.paint(alpha, face.hair * tone + 0.045 * tone * (0.5 + ring))
    cast = patch.cover(line + 0.9 - patch.y, 1.6) * (1 - alpha)
    cast *= patch.cover((1 - np.sqrt(face.along(patch)[1])) * 10.5)
    patch.shade(1 - 0.18 * cast)


def glasses(planes: np.ndarray, face: Face) -> None:
    strength = face.factors["glasses"]
    thick = 0.42 * strength
    frame = colour(0.13, 0.08, 0.09)
    for side in (-1, 1):
        left, right = (1, 17) if side < 0 else (15, 31)
        patch = Patch(planes, 11, 21, left, right)
        half = 3.75 * (face.cos - 0.16 * side * face.sin)
        dx = patch.x - face.across(0.51 * side, 0.80)
        dy = patch.y - 16.4
        x, y = dx / half, dy / 3.0
        square = x * x + y * y
        flat = np.minimum(x * x, 1.5) * np.minimum(y * y, 1.5)
        reach = (1 - np.sqrt(square - 0.4 * flat)) * 3.3
        lens = patch.cover(reach)
        stripe = bump((dx * 0.55 + dy * 0.8 + 1.9) ** 2 * 0.7)
        patch.paint(lens * (0.10 + 0.22 * stripe) * strength, colour(0.86, 0.94, 1.0))
        rim = patch.stroke(reach, thick)
        arm = patch.stroke(dy + 0.9, 0.8 * thick) * patch.cover(dx * side - half)
        arm *= patch.cover((1.02 - np.sqrt(face.along(patch)[1])) * 10.5)
        patch.paint(np.maximum(rim, arm) * 0.95, frame)
    patch = Patch(planes, 13, 18, 11, 21)
    dx = patch.x - face.across(0, 0.98)
    span = face.width * 0.51 * face.cos - 3.5
    bridge = patch.stroke(patch.y - 15.3 - 0.1 * dx * dx, thick)
    bridge *= patch.cover(span - np.abs(dx))
    patch.paint(bridge * 0.95, frame)


PARTS = (
    background,
    back_hair,
    shoulders,
    ears,
    head,
    blush,
    beard,
    nose,
    mouth,
    eyes,
    front_hair,
    brows,
    glasses,
)


def paint(factors: dict[str, np.ndarray], images: np.ndarray) -> None:
    """Fill (n, size, size, 3) uint8 images from factors of shape (n, 1, 1) float32, by name."""
    count, size = images.shape[:2]
    planes = np.empty((3, count, size, size), np.float32)
    face = Face(factors)
    for part in PARTS:
        part(planes, face)
    planes *= 255 * factors["brightness"]
    planes += np.float32(0.5)
    np.clip(planes, 0, 255, out=planes)
    images[...] = planes.transpose(1, 2, 3, 0)
