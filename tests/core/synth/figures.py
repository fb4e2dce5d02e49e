"""A figure of the bare body in one colour, for tests of drawing."""

import torch
from emosh_kernels.skin import bind

from emosh_core.body.ehm import EhmModel
from emosh_core.synth.figure import Figure, Part


def bare_figure(body: EhmModel, *, color=(0.8, 0.6, 0.5), **shape) -> Figure:
    """Return the body without clothes."""
    zeros = body.template.new_zeros
    shaped = body.with_shape(
        shape.get("betas_body", zeros(body.body_dirs.shape[-1])), shape.get("betas_head", zeros(64))
    )
    verts, gain = torch.arange(len(body.template)), shaped.expression_gain[..., None]
    part = Part(
        faces=body.faces.int(), corners=body.faces.int(), texels=torch.full((len(verts), 2), 2.0), owner=verts,
        texture=torch.tensor([*color, 1.0]).expand(4, 4, 4).contiguous(),
    )  # fmt: skip
    return Figure(
        shaped=shaped, rest_verts=shaped.rest_verts, binding=bind(body.lbs_weights),
        expression_verts=body.expression_verts, expression_dirs=body.expression_dirs * gain,
        tint=torch.ones(len(verts), 3), gloss=torch.full((len(verts),), 0.15), parts=(part,),
    )  # fmt: skip
