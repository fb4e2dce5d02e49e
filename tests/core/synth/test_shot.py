"""Cameras: the wanted part stays inside, moves are as strong as they say, the horizon is level."""

import numpy as np
import pytest

from emosh_core.errors import ConfigError
from emosh_core.geometry.camera import project, to_camera
from emosh_core.synth.scene.moves import sway
from emosh_core.synth.scene.shot import FOCAL, FRAMINGS, HEIGHT, choose_shot, look, wanted


@pytest.fixture(scope="module")
def walker(body):
    """Joints (T, 55, 3) of somebody who swings the arms and walks about."""
    import torch

    from emosh_core.body.pose import zero_pose

    def walk(travel, count=40):
        pose = zero_pose(count)
        t = torch.arange(count) / count
        pose.body_pose[:, 15, 2] = -1 + 0.5 * torch.sin(6 * t)
        pose.body_pose[:, 16, 2] = 1 + 0.5 * torch.sin(6 * t)
        pose.transl[:, 0] = travel * (t - 0.5)
        pose.transl[:, 1] = 0.95
        return body.for_landmarks().with_shape(torch.zeros(32), torch.zeros(64)).with_pose(pose).joints.numpy()

    return walk


@pytest.mark.parametrize("framing", FRAMINGS)
def test_the_wanted_part_stays_inside(walker, framing):
    for seed in range(12):
        joints = walker(2.0 * (seed % 3 == 0))
        shot = choose_shot(np.random.default_rng(seed), joints, fps=25, framing=framing)
        pixels = project(to_camera(wanted(joints, framing, hands=framing == "full"), shot.w2c), shot.K)
        inside = ((pixels > 0) & (pixels < shot.size)).all((1, 2))
        assert inside.mean() >= 0.99, (seed, shot.moves)


def test_cameras_are_within_their_ranges(walker):
    joints = walker(0.0)
    for seed in range(60):
        shot = choose_shot(np.random.default_rng(seed), joints, fps=25)
        focal = shot.K[:, 0, 0] / shot.size[0]
        assert (focal > 0.999 * FOCAL[0]).all() and (focal < 1.001 * FOCAL[1]).all()
        assert shot.K.dtype == shot.w2c.dtype == np.float32 and len(shot.K) == len(shot.w2c) == len(joints)
        turn = shot.w2c[:, :3, :3]
        np.testing.assert_allclose(turn @ turn.swapaxes(1, 2), np.tile(np.eye(3), (40, 1, 1)), atol=1e-6)
        height = shot.centres[:, 1]
        assert (height > HEIGHT[0] - 0.3).all() and (height < HEIGHT[1] + 0.5).all()
        # The picture's x axis is level, and up is up.
        level = np.abs(shot.w2c[:, 0, 1])
        assert level.max() < (0.03 if shot.moves == "hand-held" else 1e-6)
        assert (shot.w2c[:, 1, 1] < -0.8).all()


def test_moves_move_and_still_does_not(walker):
    joints = walker(0.0)
    table = {"still": "", "zoom": "K", "dolly": "w2c", "orbit": "w2c", "pan": "w2c", "tilt": "w2c"}
    for moves, moving in table.items():
        shot = choose_shot(np.random.default_rng(3), joints, fps=25, moves=moves)
        for name in ("K", "w2c"):
            assert (np.ptp(getattr(shot, name), axis=0).max() > 1e-3) == (name == moving), moves


def test_an_orbit_keeps_its_distance(walker):
    joints = walker(0.0)
    shot = choose_shot(np.random.default_rng(5), joints, fps=25, moves="orbit")
    pivot = wanted(joints, shot.framing, hands=True).mean((0, 1))
    away = np.linalg.norm((shot.centres - pivot)[:, [0, 2]], axis=1)
    assert np.ptp(away) < 0.1 * away.mean()


def test_a_hand_shakes_by_a_few_pixels(walker):
    joints = walker(0.0, 100)
    for seed in range(8):
        shot = choose_shot(np.random.default_rng(seed), joints, fps=25, moves="hand-held", size=(256, 256))
        point = joints[:1, :1].repeat(100, 0)
        pixels = project(to_camera(point, shot.w2c), shot.K)[:, 0]
        spread = pixels.std(0)
        assert (spread > 0.1).all() and (spread < 3.5).all()
        assert np.abs(np.diff(pixels, axis=0)).max() < 4


def test_sway_has_unit_variance_and_no_high_frequencies():
    values = np.stack([sway(np.random.default_rng(seed), 500, 25.0) for seed in range(20)])
    assert 0.85 < values.std() < 1.15
    power = (np.abs(np.fft.rfft(values * np.hanning(500))) ** 2).mean(0)
    frequency = np.fft.rfftfreq(500, 1 / 25)
    assert power[frequency > 5].sum() < 1e-3 * power.sum()


def test_same_seed_same_bytes(walker):
    joints = walker(0.5)
    a, b, other = (choose_shot(np.random.default_rng(seed), joints, fps=25) for seed in (7, 7, 8))
    assert a.size == b.size and a.K.tobytes() == b.K.tobytes() and a.w2c.tobytes() == b.w2c.tobytes()
    assert a.w2c.tobytes() != other.w2c.tobytes()


def test_look_has_axes_of_opencv():
    turn = look(0.0, 0.0)
    np.testing.assert_allclose(turn, np.diag([1, -1, -1]), atol=1e-12)
    down = look(0.4, 0.3)
    assert np.linalg.det(down) == pytest.approx(1) and down[2, 1] == pytest.approx(-np.sin(0.3))


def test_unknown_words_are_refused(walker):
    with pytest.raises(ConfigError, match="unknown word for a camera"):
        choose_shot(np.random.default_rng(0), walker(0.0), fps=25, framing="wide")


def test_a_wanderer_is_followed(walker):
    joints = walker(3.0, 60)
    moves = {choose_shot(np.random.default_rng(seed), joints, fps=25, framing="bust").moves for seed in range(10)}
    assert "follow" in moves and "still" not in moves
