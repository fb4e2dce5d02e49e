"""Backdrops: the world stands still while cameras move, floors are where they are said to be, nothing is in front."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from emosh_core.errors import ArtifactError, ConfigError
from emosh_core.geometry.camera import project, to_camera
from emosh_core.synth.scene.backdrop import Backdrop
from emosh_core.synth.scene.place import REACH, survey
from emosh_core.synth.scene.plates import Surface, paint, set_up, sheet_of
from emosh_core.synth.scene.scenery import KINDS, choose_backdrop
from emosh_core.synth.scene.shot import Shot, look

PELVIS = np.tile([0.1, 0.95, 0.0], (5, 1))


def shot_of(centres, yaw=0.1, pitch=0.15, zoom=1.0, size=(96, 80)):
    """A shot with cameras at `centres` (T, 3)."""
    centres = np.asarray(centres, float)
    w2c = np.tile(np.eye(4), (len(centres), 1, 1))
    w2c[:, :3, :3] = look(np.broadcast_to(yaw, len(centres)), pitch)
    w2c[:, :3, 3] = -np.einsum("tij,tj->ti", w2c[:, :3, :3], centres)
    K = np.tile(np.array([[100.0, 0, size[0] / 2], [0, 100, size[1] / 2], [0, 0, 1]]), (len(centres), 1, 1))
    K[:, [0, 1], [0, 1]] *= np.broadcast_to(zoom, len(centres))[:, None]
    return Shot(size=size, K=K.astype(np.float32), w2c=w2c.astype(np.float32), framing="full", moves="still")


STILL = shot_of([[0.5, 1.4, 4.0]] * 5)
DOLLY = shot_of([[0.5, 1.4, z] for z in (4.0, 3.8, 3.6, 3.4, 3.2)])
PAN = shot_of([[0.5, 1.4, 4.0]] * 5, yaw=np.linspace(0, 0.2, 5), zoom=np.linspace(1, 1.2, 5))


def checker(fine):
    """A floor of 6 × 6 m with squares of half a metre."""
    squares = (np.indices((12, 12)).sum(0) % 2 * 200 + 27).astype(np.uint8)
    rgb = cv2.resize(squares, (6 * fine, 6 * fine), interpolation=cv2.INTER_NEAREST)
    return np.dstack([rgb] * 3 + [np.full_like(rgb, 255)])


@pytest.mark.parametrize("shot", [STILL, DOLLY, PAN], ids=["still", "dolly", "pan"])
def test_a_surface_is_seen_where_it_is(shot):
    across, down = np.array([6.0, 0, 0]), np.array([0, 0, 6.0])
    floor = Surface(texture=checker(80), origin=np.array([-3.0, 0, -3]), across=across, down=down)
    easel = set_up(shot, PELVIS, 0.0)
    layers = paint(easel, np.zeros((2, 2, 3), np.uint8), [sheet_of(floor, is_floor=True)])
    sight = Backdrop(name="", mood="studio", layers=layers, K=easel.K, w2c=easel.w2c).see(shot.K, shot.w2c, shot.size)
    near = np.stack(np.meshgrid(np.arange(-0.75, 1, 0.5), [0.0], np.arange(-0.75, 1, 0.5)), -1).reshape(-1, 3)
    pixels = project(to_camera(near[None], shot.w2c.astype(float)), shot.K.astype(float))
    for t in range(len(shot.K)):
        inside = ((pixels[t] > 1) & (pixels[t] < np.array(shot.size) - 1)).all(1)
        assert inside.sum() > 5
        x, y = pixels[t][inside].astype(int).T
        square = (np.floor(near[inside, 0] / 0.5) + np.floor(near[inside, 2] / 0.5)) % 2 == 0
        bright = sight.rgb[t, y, x, 0].numpy() > 0.5
        assert (bright == square).all() or (bright == ~square).all()
        assert (sight.on_floor[t, y, x] > 0.95).all()
        np.testing.assert_allclose(sight.ground[t, y, x], near[inside][:, [0, 2]], atol=0.1)  # of a pixel


@pytest.mark.parametrize("kind", KINDS)
def test_backdrops_are_whole_and_quiet(kind):
    for shot in (STILL, DOLLY, PAN):
        back = choose_backdrop(np.random.default_rng(3), shot, PELVIS, kind=kind)
        sight = back.see(shot.K, shot.w2c, shot.size)
        assert sight.rgb.shape == (5, 80, 96, 3) and sight.on_floor.shape == (5, 80, 96)
        assert torch.isfinite(sight.rgb).all() and sight.rgb.min() > -1e-4 and sight.rgb.max() < 1.001
        assert 0 <= sight.on_floor.min() and sight.on_floor.max() < 1.001
        whole = [layer for layer in back.layers if not layer.normal.any()]
        assert (whole[0].plate[3] == 1).all()


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_flickers_when_the_camera_moves_by_fractions_of_a_pixel(kind):
    shot = shot_of([[0.5, 1.4, 4.0 - 0.002 * k] for k in range(5)], yaw=0.0005 * np.arange(5))
    rgb = choose_backdrop(np.random.default_rng(3), shot, PELVIS, kind=kind).see(shot.K, shot.w2c, shot.size).rgb
    step, whole = (rgb[1:] - rgb[:-1]).abs().mean(), (rgb[4] - rgb[0]).abs().mean()
    assert step < 0.012 and step < 0.5 * whole + 1e-3


def test_parts_of_a_clip_are_as_the_whole():
    back = choose_backdrop(np.random.default_rng(5), DOLLY, PELVIS, kind="room")
    whole = back.see(DOLLY.K, DOLLY.w2c, DOLLY.size).rgb
    parts = [back.see(DOLLY.K[i : i + 2], DOLLY.w2c[i : i + 2], DOLLY.size).rgb for i in (0, 2, 4)]
    torch.testing.assert_close(torch.cat(parts), whole, atol=1e-4, rtol=0)


def test_one_layer_or_many_show_the_same():
    nudged = shot_of([[0.5, 1.4, 4.0]] * 4 + [[0.5, 1.4, 4.01]])
    backs = [choose_backdrop(np.random.default_rng(6), shot, PELVIS, kind="studio") for shot in (STILL, nudged)]
    assert len(backs[0].layers) == 1 < len(backs[1].layers)
    one, many = (back.see(STILL.K, STILL.w2c, STILL.size) for back in backs)
    assert (one.rgb - many.rgb).abs().max() < 0.06 and (one.rgb - many.rgb).abs().mean() < 0.004
    assert (one.on_floor - many.on_floor).abs().mean() < 0.02


def test_walls_leave_room_for_person_and_camera():
    for turn in (-0.4, 0.0, 0.3):
        place = survey(DOLLY, PELVIS, turn)
        for point in (*PELVIS, *DOLLY.centres):
            local = point - place.origin
            assert -place.left_least < local @ place.right < place.right_least
            assert local @ place.back < place.back_least and point[1] < place.ceiling_least
        assert place.back_least >= REACH
        assert abs(place.right @ place.back) < 1e-9 and (DOLLY.centres[0] - place.origin) @ place.back < 0


def test_same_seed_same_bytes():
    a, b, other = (choose_backdrop(np.random.default_rng(seed), DOLLY, PELVIS) for seed in (1, 1, 2))
    assert a.looks == b.looks and all(torch.equal(x.plate, y.plate) for x, y in zip(a.layers, b.layers))
    assert len(a.layers) != len(other.layers) or not torch.equal(a.layers[0].plate, other.layers[0].plate)


def test_a_user_image_fills_the_picture(tmp_path):
    image = np.zeros((60, 90, 3), np.uint8)
    image[:, :45] = (10, 20, 200)
    image[:, 45:] = (10, 200, 20)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    for shot in (STILL, DOLLY, replace(PAN, size=PAN.size)):
        back = choose_backdrop(np.random.default_rng(0), shot, PELVIS, image=tmp_path)
        sight = back.see(shot.K, shot.w2c, shot.size)
        assert back.looks["image"] == "a.png" and sight.on_floor.max() == 0
        assert (sight.rgb.sum(-1) > 0.8).all()
        assert (sight.rgb[:, :, 3, 0] > 0.6).all() and (sight.rgb[:, :, -3, 1] > 0.6).all()


def test_what_cannot_be_shown_is_said(tmp_path):
    with pytest.raises(ArtifactError, match="no background picture"):
        choose_backdrop(np.random.default_rng(0), STILL, PELVIS, image=tmp_path)
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with pytest.raises(ArtifactError, match="cannot be read"):
        choose_backdrop(np.random.default_rng(0), STILL, PELVIS, image=tmp_path / "bad.png")
    with pytest.raises(ConfigError, match="unknown kind"):
        choose_backdrop(np.random.default_rng(0), STILL, PELVIS, kind="moon")
    with pytest.raises(ConfigError, match="image is needed"):
        choose_backdrop(np.random.default_rng(0), STILL, PELVIS, kind="image")
