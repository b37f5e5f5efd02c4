"""The text of the flash attention kernels: takes facts and names, returns Triton source.

A template is the kernel as a person would write it, in every variant at once. A line that ends in
`#? fact !other` is kept where `fact` holds and `other` does not; `{name}` is filled in. Names in
the kernels: queries are rows i, keys are columns j, `scores` is q @ k.T, `weights` their softmax.

Forward and backward_q hold a block of queries and walk over the keys; backward_kv holds a block of
keys and walks over the queries, with every tile transposed so that `weights` and `grad_scores` are
already the left operand of the products that need them.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

CONDITION = "#?"


def render(
    templates: Sequence[str],
    facts: Mapping[str, bool],
    names: Mapping[str, object],
    indent: str = "",
) -> str:
    """takes templates, facts and names, returns the lines whose conditions hold, filled in."""
    kept = []
    for line in (line for template in templates for line in template[1:-1].split("\n")):
        text, _, condition = line.partition(CONDITION)
        if all(facts[word.lstrip("!")] != word.startswith("!") for word in condition.split()):
            kept.append(textwrap.indent(text.rstrip().format_map(names), indent))
    return "\n".join(kept) + "\n"


HEADER = '''
import triton
import triton.language as tl


@triton.jit
def {name}({params}):
    """{title}"""
    HEADS: tl.constexpr = {heads}
    KV_HEADS: tl.constexpr = {kv_heads}                                         #? grouped
    GROUP: tl.constexpr = {group}  # query heads to a head of keys              #? grouped
    Q_LEN: tl.constexpr = {q_len}
    K_LEN: tl.constexpr = {k_len}
    HEAD_DIM: tl.constexpr = {head_dim}                                         #? padded_dims
    BLOCK_Q: tl.constexpr = {block_q}
    BLOCK_K: tl.constexpr = {block_k}
    BLOCK_D: tl.constexpr = {block_d}
    SECTION: tl.constexpr = {section}  # heads that run side by side and share the L2 cache
    LOG2E: tl.constexpr = {log2e}
    SCALE: tl.constexpr = {scale}                                               #? backward
    SCORE_SCALE: tl.constexpr = {scale}                                         #? shifted
    SCORE_SCALE: tl.constexpr = {scale_log2e}  # scale * log2(e), for exp2      #? !shifted
    FILL: tl.constexpr = {fill}  # the score of hidden positions                #? boolean
    PLANE: tl.constexpr = {plane}  # lse: the maxima, then the logs of the sums   #? shifted
    DROP_BELOW: tl.constexpr = {drop_below}  # of 2**32: p in float32, to 24 bits  #? dropout
    KEEP_SCALE: tl.constexpr = {keep_scale}                                     #? dropout
'''

# Shared by the two kernels that hold a block of queries.
QUERY_PROGRAM = """

    flat_head = tl.program_id(2) * SECTION + tl.program_id(0)
    flat_head = flat_head.to(tl.int64)  # some buffer passes 2**31 elements     #? wide
    batch = flat_head // HEADS
    head = flat_head % HEADS
    kv_head = head // GROUP                                                     #? grouped
    # The later a causal row the more keys it sees: the longest start first.    #? causal
    q_start = (tl.num_programs(1) - 1 - tl.program_id(1)) * BLOCK_Q             #? causal
    q_start = tl.program_id(1) * BLOCK_Q                                        #? !causal
    queries = q_start + tl.arange(0, BLOCK_Q)
    key_range = tl.arange(0, BLOCK_K)
    queries, key_range = queries.to(tl.int64), key_range.to(tl.int64)           #? wide
    dims = tl.arange(0, BLOCK_D)
    row = flat_head * Q_LEN
    seed = tl.load(seed_ptr)                                                    #? dropout
    counter_base = tl.load(offset_ptr) + row.to(tl.int64) * K_LEN               #? dropout

    q_base = {q_base}
    k_base = {k_base}
    v_base = {v_base}
    mask_base = {mask_base}                                                     #? masked
    q = tl.load({q_tile})
"""

FORWARD_START = """
    row_max = tl.full([BLOCK_Q], float("-inf"), {accumulator})
    row_sum = tl.zeros([BLOCK_Q], {accumulator})
    out = tl.zeros([BLOCK_Q, BLOCK_D], {accumulator})
"""

QUERY_BOUNDS = """
    full_end = {full_end}
    end = {end}
"""

QUERY_LOOP = """

    # Blocks in which every row sees every key.                                 #? !edge
    # Blocks on the diagonal: a row sees the keys up to its own.                #? edge causal
    # The last block, partly past the end of the keys.                          #? edge !causal
    for start in range({first}, {last}, BLOCK_K):
        keys = start + key_range
"""

# The score of every pair in a tile; `queries{query_axis}` and `keys{key_axis}` orient it.
SCORES = """
        scores = scores * SCORE_SCALE                                           #? shifted !additive
        scores = scores * SCORE_SCALE + tl.load({mask_tile}).to({accumulator})  #? additive
        visible = tl.load({mask_tile}) != 0                                     #? boolean
        scores = tl.where(visible, scores, FILL)                                #? boolean
"""

# Philox-4x32-10 of the pair's own number: the same bits in every kernel, so no mask is stored.
KEEP = """
        counter = counter_base + (queries{query_axis} * K_LEN + keys{key_axis})   #? dropout
        low = counter.to(tl.uint32)                                             #? dropout
        high = (counter >> 32).to(tl.uint32)                                    #? dropout
        bits, _, _, _ = tl.philox(seed, low, high, low * 0, low * 0)            #? dropout
        keep = bits >= DROP_BELOW                                               #? dropout
"""

QUERY_SCORES = """
        k = tl.load({k_tile})
        scores = tl.dot(q, tl.trans(k){precision})
"""

FORWARD_STEP = """
        scores = tl.where({edge}, scores, float("-inf"))                        #? edge
        new_max = tl.maximum(row_max, tl.max(scores, 1))                        #? shifted
        new_max = tl.maximum(row_max, tl.max(scores, 1) * SCORE_SCALE)          #? !shifted
        # A row with no key so far is shifted by 0: -inf - -inf is nan.         #? may_be_empty
        shift = tl.where(new_max == float("-inf"), 0.0, new_max)                #? may_be_empty
        weights = tl.exp2((scores - {shift}[:, None]) * LOG2E)                  #? shifted
        decay = tl.exp2((row_max - {shift}) * LOG2E)                            #? shifted
        weights = tl.exp2(scores * SCORE_SCALE - {shift}[:, None])              #? !shifted
        decay = tl.exp2(row_max - {shift})                                      #? !shifted
        row_sum = row_sum * decay + tl.sum(weights, 1)
        weights = tl.where(keep, weights, 0.0)                                  #? dropout
        out = out * decay[:, None]
        v = tl.load({v_tile})
        out = tl.dot(weights{operand}, v, out{precision})
        row_max = new_max
"""

FORWARD_END = """

    # A row that sees no key is 0; an lse of +inf makes its weights 0 again.    #? zero_rows
    empty = row_sum == 0                                                        #? zero_rows
    row_sum = tl.where(empty, 1.0, row_sum)                                     #? zero_rows
    out = out * (1.0 / row_sum)[:, None]                                        #? !dropout
    out = out * (KEEP_SCALE / row_sum)[:, None]                                 #? dropout
    out_base = {out_base}
    tl.store({out_tile})
    log_sum = tl.log2(row_sum) / LOG2E                                          #? shifted
    row_max = tl.where(empty, 0.0, row_max)                                     #? shifted zero_rows
    log_sum = tl.where(empty, float("inf"), log_sum)                            #? shifted zero_rows
    tl.store(lse_ptr + row + queries, row_max{row_bound})                       #? shifted
    tl.store(lse_ptr + PLANE + row + queries, log_sum{row_bound})               #? shifted
    lse = (row_max + tl.log2(row_sum)) / LOG2E                                  #? !shifted
    lse = tl.where(empty, float("inf"), lse)  #? !shifted zero_rows
    tl.store(lse_ptr + row + queries, lse{row_bound})                           #? !shifted
"""

# Rows past the end load +inf for what is subtracted last, so that their weights are 0.
BACKWARD_Q_START = """
    grad_out_base = {grad_out_base}
    grad_out = tl.load({grad_out_tile})
    lse = tl.load(lse_ptr + row + queries{row_or_inf}) * LOG2E                  #? !shifted
    row_max = tl.load(lse_ptr + row + queries{row_or_zero})                     #? shifted
    log_sum = tl.load(lse_ptr + PLANE + row + queries{row_or_inf}) * LOG2E      #? shifted
    delta = tl.load(delta_ptr + row + queries{row_or_zero})
    grad_q = tl.zeros([BLOCK_Q, BLOCK_D], {accumulator})
"""

# `delta` is the row's sum of grad_out * out: what the gradient of softmax subtracts.
WEIGHTS = """
        scores = (scores - row_max{query_axis}) * LOG2E                         #? shifted
        weights = tl.exp2(scores - log_sum{query_axis})                         #? shifted
        weights = tl.exp2(scores * SCORE_SCALE - lse{query_axis})               #? !shifted
        weights = tl.where({edge}, weights, 0.0)                                #? edge
"""

GRAD_SCORES = """
        grad_weights = tl.where(keep, grad_weights * KEEP_SCALE, 0.0)           #? dropout
        grad_scores = weights * (grad_weights - delta{query_axis})
        grad_scores = tl.where(visible, grad_scores, 0.0)                       #? stops_gradient
        grad_scores = tl.where({edge}, grad_scores, 0.0)                        #? edge nan_rows
"""

BACKWARD_Q_WEIGHTS = """
        v = tl.load({v_tile})
        grad_weights = tl.dot(grad_out, tl.trans(v){precision})
"""

BACKWARD_Q_STEP = """
        grad_q = tl.dot(grad_scores{operand}, k, grad_q{precision})
"""

BACKWARD_Q_END = """

    grad_q = grad_q * SCALE
    grad_q_base = {grad_q_base}
    tl.store({grad_q_tile})
"""

KEY_PROGRAM = """

    flat_head = tl.program_id(2) * SECTION + tl.program_id(0)
    flat_head = flat_head.to(tl.int64)  # some buffer passes 2**31 elements     #? wide
    batch = flat_head // {shared_heads}
    {shared_head} = flat_head % {shared_heads}
    # The earlier a key the more causal rows see it: the longest start first.   #? causal
    k_start = tl.program_id(1) * BLOCK_K
    keys = k_start + tl.arange(0, BLOCK_K)
    query_range = tl.arange(0, BLOCK_Q)
    keys, query_range = keys.to(tl.int64), query_range.to(tl.int64)             #? wide
    dims = tl.arange(0, BLOCK_D)
    seed = tl.load(seed_ptr)                                                    #? dropout

    k_base = {k_base}
    v_base = {v_base}
    k = tl.load({k_tile})
    v = tl.load({v_tile})
    grad_k = tl.zeros([BLOCK_K, BLOCK_D], {accumulator})
    grad_v = tl.zeros([BLOCK_K, BLOCK_D], {accumulator})
"""

KEY_GROUP = """
    for head in range(kv_head * GROUP, kv_head * GROUP + GROUP):
"""

KEY_HEAD = """
    q_base = {q_base}
    grad_out_base = {grad_out_base}
    mask_base = {mask_base}                                                     #? masked
    row = (batch * HEADS + head) * Q_LEN
    counter_base = tl.load(offset_ptr) + row.to(tl.int64) * K_LEN               #? dropout
"""

KEY_BOUNDS = """
    diagonal = {diagonal}
    below = {below}
"""

KEY_LOOP = """

    # Blocks on the diagonal: a row sees the keys up to its own.                #? edge
    # Blocks in which every row sees every key.                                 #? !edge
    for start in range({first}, {last}, BLOCK_Q):
        queries = start + query_range
        q = tl.load({q_tile})
        grad_out = tl.load({grad_out_tile})
        lse = tl.load(lse_ptr + row + queries{row_or_inf}) * LOG2E              #? !shifted
        row_max = tl.load(lse_ptr + row + queries{row_or_zero})                 #? shifted
        log_sum = tl.load(lse_ptr + PLANE + row + queries{row_or_inf}) * LOG2E  #? shifted
        delta = tl.load(delta_ptr + row + queries{row_or_zero})
"""

KEY_SCORES = """
        scores = tl.dot(k, tl.trans(q){precision})
"""

BACKWARD_KV_VALUES = """
        grad_v = tl.dot(weights{operand}, grad_out, grad_v{precision})          #? !dropout
        kept = tl.where(keep, weights, 0.0)                                     #? dropout
        grad_v = tl.dot(kept{operand}, grad_out, grad_v{precision})             #? dropout
        grad_weights = tl.dot(v, tl.trans(grad_out){precision})
"""

BACKWARD_KV_STEP = """
        grad_k = tl.dot(grad_scores{operand}, q, grad_k{precision})
"""

BACKWARD_KV_END = """

    grad_k = grad_k * SCALE
    grad_v = grad_v * KEEP_SCALE                                                #? dropout
    grad_k_base = {grad_k_base}
    grad_v_base = {grad_v_base}
    tl.store({grad_k_tile})
    tl.store({grad_v_tile})
"""
