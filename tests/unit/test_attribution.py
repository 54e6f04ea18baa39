"""Layers and roles from names, sources and rules."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import numpy as np
import pytest
from tests.support.graphs import INPUT, GraphMaker, graph_of
from tests.support.tracefile import Tensor, trace_from_text

from ggml_viz.cli import main
from ggml_viz.errors import UserError
from ggml_viz.model.attribution import PARTS, attribute, load_rules, module_of
from ggml_viz.model.graph import Graph


def seen(graph: Graph, *extra: Path) -> list[tuple[int | str, str]]:
    """Layer (or part) and role of each tensor."""
    found = attribute(graph, load_rules(extra))
    places: list[int | str] = [
        int(layer) if layer >= 0 else PARTS[part] for layer, part in zip(found.layer, found.part, strict=True)
    ]
    return list(zip(places, [found.roles[role] for role in found.role], strict=True))


def leaves(*names: str) -> Graph:
    make = GraphMaker()
    for name in names:
        make.leaf(name, "f32", 1)
    return make.graph()


@pytest.mark.parametrize(
    ("name", "place", "role"),
    [
        ("blk.17.attn_q.weight", 17, "attn_q"),
        ("blk.3.ffn_gate_exps.weight", 3, "ffn_gate_exps"),
        ("blk.3.ffn_up.5.weight", 3, "ffn_up"),
        ("blk.0.attn_q.weight.lora_a", 0, "attn_q"),
        ("blk.0.ssm_a", 0, "ssm_a"),
        ("blk.2.time_mix_w1.weight", 2, "time_mix_w1"),
        ("enc.blk.1.attn_q.weight", 1, "encoder.attn_q"),
        ("dec.blk.1.cross_attn_q.weight", 1, "decoder.cross_attn_q"),
        ("CUDA0#blk.4.attn_k.weight#0", 4, "attn_k"),
        ("token_embd.weight", "embedding", "token_embd"),
        ("output.weight", "output", "output"),
        ("output_norm.weight", "output", "output_norm"),
        ("cache_k_l11", 11, "cache_k"),
        ("cache_v_l11 (view) (permuted)", 11, "cache_v"),
        ("cache_s_l2 (view) (copy of state-", 2, "cache_s"),
        ("Qcur-5", 5, "attn_q"),
        ("Kcur-5 (view)", 5, "attn_k"),
        ("ffn_inp-0", 0, "ffn_inp"),
        ("kqv_out-31", 31, "kqv_out"),
        ("ffn_moe_logits-7", 7, "ffn_gate_inp"),
        ("ffn_moe_weighted-7 (view)", 7, "ffn_moe_weighted"),
        ("mamba_ssm_scan-7", 7, "mamba_ssm_scan"),
        ("result_output", "output", "output"),
        ("result_norm", "output", "output_norm"),
        ("inp_embd", "embedding", "token_embd"),
        ("inp_pos", "input", "inp_pos"),
        ("attn_inp_kq_mask", "input", "attn_inp_kq_mask"),
        ("leaf_5", "", ""),
        ("leaf_5 (view)", "", ""),
        ("", "", ""),
        ("blk.99999999999999999999.attn_q.weight", "", ""),
    ],
)
def test_names_of_llama_cpp(name: str, place: int | str, role: str) -> None:
    assert seen(leaves("blk.0.ffn_up.weight", "blk.1.ffn_up.weight", name))[2] == (place, role)


@pytest.mark.parametrize(
    ("family", "name", "place", "role"),
    [
        ("whisper.cpp", "encoder.blocks.2.attn.query.weight", 2, "encoder.attn_q"),
        ("whisper.cpp", "decoder.blocks.2.attn.query.weight", 2, "decoder.attn_q"),
        ("whisper.cpp", "decoder.blocks.0.cross_attn.key.weight", 0, "decoder.cross_attn_k"),
        ("whisper.cpp", "decoder.blocks.0.mlp.2.bias", 0, "decoder.ffn_down"),
        ("whisper.cpp", "decoder.token_embedding.weight", "embedding", "decoder.token_embedding"),
        ("whisper.cpp", "encoder.ln_post.bias", "output", "encoder.ln_post"),
        ("clip", "v.blk.3.attn_q.weight", 3, "vision.attn_q"),
        ("clip", "a.blk.3.attn_q.weight", 3, "audio.attn_q"),
        ("clip", "v.patch_embd.weight", "embedding", "vision.patch_embd"),
        ("clip", "mm.0.weight", "output", "mm_0"),
        ("clip", "v.post_ln.bias", "output", "vision.post_ln"),
        *(
            ("stable-diffusion", name, place, role)
            for name, place, role in (
                (
                    "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_q.weight",
                    1,
                    "unet_input.attn1_to_q",
                ),
                ("model.diffusion_model.output_blocks.1.0.in_layers.2.weight", 1, "unet_output.in_layers_2"),
                ("model.diffusion_model.joint_blocks.4.x_block.attn.qkv.weight", 4, "dit_double.x_block_attn_qkv"),
                ("model.diffusion_model.time_embed.0.weight", "embedding", "diffusion.time_embed_0"),
                ("model.diffusion_model.out.2.weight", "output", "diffusion.out_2"),
                ("first_stage_model.decoder.up.0.block.1.conv1.weight", 0, "vae_decoder.conv1"),
                ("first_stage_model.decoder.conv_out.weight", "output", "vae.decoder_conv_out"),
                (
                    "cond_stage_model.transformer.text_model.encoder.layers.3.mlp.fc1.weight",
                    3,
                    "text.mlp_fc1",
                ),
            )
        ),
    ],
)
def test_names_of_others(family: str, name: str, place: int | str, role: str) -> None:
    graph = leaves(name)
    assert attribute(graph, load_rules()).family == family
    assert seen(graph) == [(place, role)]


def test_family_is_the_one_that_knows_most_leaves() -> None:
    assert attribute(leaves("mel", "v.blk.0.ln1.weight", "v.blk.0.attn_q.weight"), load_rules()).family == "clip"
    assert attribute(leaves("KQ_mask", "embd", "position", "leaf_0"), load_rules()).family == "whisper.cpp"
    assert attribute(leaves("leaf_0", "prob"), load_rules()).family == ""


def test_module_of_role() -> None:
    assert module_of("encoder.attn_q") == "encoder"
    assert module_of("attn_q") == ""


def test_unnamed_nodes_follow_their_sources() -> None:
    make = GraphMaker()
    x = make.node(
        "GET_ROWS", (8,), make.leaf("token_embd.weight", "f32", 8), make.leaf("inp_tokens", "i32", 1, flags=1)
    )
    scaled = make.node("SCALE", (8,), x)  # not handed on: nothing says where the embedding ends
    norm = make.node("RMS_NORM", (8,), scaled)
    normed = make.node("MUL", (8,), norm, make.leaf("blk.0.attn_norm.weight", "f32", 8))
    q = make.node("MUL_MAT", (8,), make.leaf("blk.0.attn_q.weight", "f32", 8), normed, name="Qcur-0")
    rope = make.node("ROPE", (8,), q, make.leaf("inp_pos", "i32", 1, flags=INPUT))
    attention = make.node("FLASH_ATTN_EXT", (8,), make.node("PERMUTE", (8,), rope, view=rope), rope, rope)
    out = make.node("MUL_MAT", (8,), make.leaf("blk.0.attn_output.weight", "f32", 8), attention, name="ffn_out-0")
    taken = make.node("GET_ROWS", (8,), out, make.leaf("inp_out_ids", "i32", 1, flags=INPUT))
    last = make.node("RMS_NORM", (8,), taken, name="norm")
    result = make.node("MUL", (8,), last, make.leaf("output_norm.weight", "f32", 8), name="result_norm")
    make.node("MUL_MAT", (8,), "token_embd.weight", result)
    assert seen(make.graph())[:12] == [
        ("embedding", "token_embd"),
        ("", ""),
        (0, "attn_norm"),
        (0, "attn_norm"),
        (0, "attn_q"),
        (0, "attn_q"),
        (0, "attn_q"),
        (0, "kqv"),
        (0, "attn_output"),
        (0, "attn_output"),
        ("output", "output_norm"),
        ("output", "output_norm"),
    ]
    assert seen(make.graph())[12] == ("output", "output")


def test_nodes_are_of_the_module_of_the_weights() -> None:
    make = GraphMaker()
    make.node("MUL_MAT", (8,), make.leaf("dec.blk.0.attn_q.weight", "f32", 8), make.leaf("x", "f32", 8), name="Qcur-0")
    make.node("ADD", (8,), "Qcur-0", "x", name="l_out-0")
    assert seen(make.graph())[:2] == [(0, "decoder.attn_q"), (0, "decoder.l_out")]


def test_graphs_share_the_numbers_of_roles() -> None:
    rules = load_rules()
    first = attribute(leaves("blk.0.attn_q.weight", "blk.0.attn_k.weight"), rules)
    second = attribute(leaves("v.blk.0.attn_q.weight", "blk.0.attn_k.weight"), rules)
    third = attribute(leaves("blk.7.attn_k.weight"), rules)
    assert first.roles is second.roles is third.roles
    assert first.role[1] == third.role[0]


def test_rules_of_a_user(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        """
        [[rules]]
        match = 'stage(?P<layer>\\d+)/(?P<role>\\w+)/kernel'
        role = "conv.{role}"
        module = "backbone"
        [[rules]]
        match = 'head/kernel'
        part = "output"
        role = "head"
        [roles]
        conv_a = "first"
        [ops]
        IM2COL = "patches"
        """
    )
    make = GraphMaker()
    make.node("IM2COL", (8,), make.leaf("stage2/a/kernel", "f32", 8), make.leaf("x", "f32", 8))
    make.leaf("stage3/b/kernel", "f32", 8)
    make.leaf("head/kernel", "f32", 8)
    assert seen(make.graph(), file) == [
        (2, "backbone.patches"),
        (2, "backbone.first"),
        ("", ""),
        (3, "backbone.conv_b"),
        ("output", "head"),
    ]
    assert attribute(make.graph(), load_rules([file])).family == "mine"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("rules = 3", "rules"),
        ("[roles]", "rules"),
        ("[[rules]]\nmatch = '(?P<layer>[0-9'", "rules, number 1: match"),
        ("[[rules]]\nmatch = 'x'", "rules, number 1: match"),
        ("[[rules]]\nmatch = 3", "rules, number 1: match"),
        ("[[rules]]\npart = 'kv'", "rules, number 1: match"),
        ("[[rules]]\nmatch = 'x'\npart = 'kv'\n[[rules]]\nmatch = 'y'\npart = 'tail'", "rules, number 2: part"),
        ("[[rules]]\nmatch = 'x'\npart = 'kv'\nrole = '{role}'", "rules, number 1: role"),
        ("[[rules]]\nmatch = '(?P<number>x)'\npart = 'kv'", "rules, number 1: match"),
        ("[[rules]]\nmatch = 'x'\npart = 'kv'\nlayers = 'y'", "rules, number 1: layers"),
        ("[[rules]]\nmatch = 'x'\npart = 'kv'\n[ops]\nADD = 3", "ops.ADD"),
        ("[[rules]]\nmatch = 'x'\npart = 'kv'\nmodule = 'a.b'", "rules, number 1: module"),
        ("[[rules]]\nmatch = 'x'\npart = 'kv'\n[roles]\nx = 'a.b'", "roles.x"),
        ("[[rules]]\nmatch = 'x'\npart = 'kv'\n[op]\nADD = 'a'", "op"),
        ("[[rules]", "not TOML"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(tmp_path: Path, text: str, named: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(UserError) as raised:
        load_rules([file])
    assert raised.value.message.startswith(f"{file}: {named}:")


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.toml"):
        load_rules([tmp_path / "absent.toml"])
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="UTF-8"):
        load_rules([tmp_path / "binary.toml"])


def test_empty_graph() -> None:
    assert len(attribute(graph_of([], 0, {}), load_rules()).layer) == 0
    assert attribute(leaves("blk.0.attn_q.weight"), []).layer.tolist() == [-1]


@pytest.mark.parametrize("seed", range(4))
def test_hostile_graph_is_borne_in_time(seed: int) -> None:
    """Names of any length and kind, sources anywhere and in circles."""
    rng = random.Random(seed)
    count = 3000
    ops = {name: i for i, name in enumerate(("MUL_MAT", "MUL", "RMS_NORM", "VIEW", "FLASH_ATTN_EXT", "ADD"), 1)}
    kinds = (
        "blk.0.attn_q.weight",
        "",
        "node_1",
        "a-1" * 200,
        "blk." * 500,
        "model.diffusion_model." + "a." * 110 + "!",
    )
    kinds += ("cond_stage_model." + "layers.1." * 25 + "!", "#" * 50, " (" * 50, "blk.1." + "1" * 240 + "!", "\0-٣")

    def tensor(index: int) -> Tensor:
        name = rng.choice((*kinds, f"l_out-{index}", f"x{index}-{index}" * 9))
        sources = tuple(rng.choice((None, index, rng.randrange(count))) for _ in range(rng.randrange(16)))
        return Tensor(name, rng.randrange(8), 1, (1, 1, 1, 1), sources=sources)

    graph = graph_of([tensor(index) for index in range(count)], rng.choice((0, 1, count // 2, count)), ops)
    began = time.perf_counter()
    found = attribute(graph, load_rules())
    assert time.perf_counter() - began < 1
    assert (found.layer >= -1).all()
    assert (found.role < len(found.roles)).all()
    assert (found.part < len(PARTS)).all()
    assert not (found.placed & (found.layer < 0) & (found.part == 0)).any()


def test_more_roles_than_can_be_numbered() -> None:
    numbers = {"ADD": 1}
    rules = load_rules()
    graph = graph_of([Tensor(f"r{i}-0", 1, 1, (1, 1, 1, 1)) for i in range(66_000)], 66_000, numbers)
    found = attribute(graph, rules)
    assert len(found.roles) == 1 << 16
    assert (found.layer == 0).all()
    assert np.count_nonzero(found.role == 0) >= 66_000 - (1 << 16)


def test_a_users_file_is_given_by_flag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--naming`, as for every command that tells layers."""
    trace, rules = tmp_path / "t.ggmlviz", tmp_path / "mine.toml"
    trace.write_bytes(
        trace_from_text(
            "process\ngraph 1\n  leaf stage_4/mixer f32 [8]\n  node stage_4/mix SCALE f32 [8] stage_4/mixer\n"
            "run 1 graph=1 at=0 for=10\nexec 0 run=1 worker=0 at=0 work=10\ndone ended"
        )
    )
    rules.write_text("[[rules]]\nmatch = 'stage_(?P<layer>\\d+)/(?P<role>\\w+)'\n")
    assert main(["report", str(trace), "--json", "--naming", str(rules)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(row["layer"], row["count"]) for row in told["layers"]] == [("4", 1)]
    assert [row["role"] for row in told["roles"]] == ["mix"]
    rules.write_text("[[rules]]\nmatch = '('\n")
    assert main(["report", str(trace), "--naming", str(rules)]) == 2
    assert "mine.toml: rules, number 1: match: not a regular expression" in capsys.readouterr().err


def test_graphs_that_bring_ever_new_layers_are_told_as_well_as_the_first() -> None:
    rules = load_rules()
    layers = [
        attribute(leaves(f"blk.{2 * i}.attn_q.weight", f"blk.{2 * i + 1}.attn_k.weight"), rules) for i in range(50)
    ]
    assert [found.layer.tolist() for found in layers] == [[2 * i, 2 * i + 1] for i in range(50)]
    assert {tuple(found.roles[role] for role in found.role) for found in layers} == {("attn_q", "attn_k")}
