#!/bin/sh
# transformers 5.23.0 with gguf 0.19.0, on a CPU.
#
# A model that is loaded from a GGUF file has plain, expanded weights there: the blocks stay packed
# only where a kernel for them is found. One would guess that it can then be saved, as could those
# of earlier versions. But save_pretrained() raises ValueError: the model still counts as quantized,
# even if the file holds 32-bit floats. Loaded with GgufConfig(dequantize=True), the same weights
# are saved.
#
# Output seen, 2026-11-29:
#   dtypes of the weights: {torch.float32}
#   as loaded: ValueError
#   with dequantize=True: saved
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    torch==2.13.0 transformers==5.23.0 accelerate==1.15.0 gguf==0.19.0 numpy
cd "$folder"
cat > run.py <<'EOF'
import gguf
import numpy as np
from transformers import AutoModelForCausalLM, GgufConfig

WIDTH, WORDS = 16, 8
writer = gguf.GGUFWriter("small.gguf", "llama")
writer.add_context_length(32)
writer.add_embedding_length(WIDTH)
writer.add_block_count(1)
writer.add_feed_forward_length(WIDTH)
writer.add_head_count(1)
writer.add_head_count_kv(1)
writer.add_layer_norm_rms_eps(1e-5)
writer.add_rope_dimension_count(WIDTH)
writer.add_vocab_size(WORDS)
writer.add_tokenizer_model("gpt2")
writer.add_token_list([f"w{number}" for number in range(WORDS)])
square = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
shapes = {f"blk.0.{name}.weight": (WIDTH, WIDTH) for name in square}
shapes |= {f"blk.0.{name}.weight": (WIDTH,) for name in ("attn_norm", "ffn_norm")}
shapes |= {"token_embd.weight": (WORDS, WIDTH), "output_norm.weight": (WIDTH,)}
for name, shape in shapes.items():
    writer.add_tensor(name, np.ones(shape, dtype=np.float32))
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()


def saved(**settings):
    model = AutoModelForCausalLM.from_pretrained(".", gguf_file="small.gguf", **settings)
    dtypes = {weights.dtype for weights in model.parameters()}
    try:
        model.save_pretrained("saved")
    except ValueError as error:
        return dtypes, type(error).__name__
    return dtypes, "saved"


dtypes, plain = saved()
print("dtypes of the weights:", dtypes)
print("as loaded:", plain)
_, asked = saved(quantization_config=GgufConfig(dequantize=True))
print("with dequantize=True:", asked)
assert (plain, asked) == ("ValueError", "saved"), "The behaviour has changed."
EOF
"$folder/venv/bin/python" run.py 2>/dev/null
