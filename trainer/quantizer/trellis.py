"""Trellis codes: grids whose points depend on the codes before.

A row with step s has the points k s and (k + 1/2) s for whole numbers k. A code may use one of the two halves only:
which one is the lowest bit of a state, and the parity of k leads to the next state. So a code costs as many bits as on
the plain grid, yet points are half as far apart, and the path through the states that errs least is found by dynamic
programming (Viterbi). At three bits a weight the squared error of Gaussian weights is 21 % below that of the plain
grid with 4 states, 22 % with 8 and 23 % with 16.

Rows whose step exceeds their deviation gain nothing from it: their codes are mostly 0, which half of the states forbid.
Such plain rows have the points k s, and leave the state as it is. Their steps are stored with a minus sign.

The sequence runs down a column, because GPTQ rounds a column at a time. A column has several chains, which begin in
state 0: chain c has the rows c, c + chains, c + 2 chains ... So a reader can decode as many rows at a time as there are
chains.
Source: Marcellin and Fischer, Trellis coded quantization, IEEE Trans. Comm. 38 (1990); the polynomials are those of
Ungerboeck, IEEE Trans. Inf. Theory 28 (1982), table 1.
"""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

# Parity-check polynomials by number of states: how class (h0) and parity (h1) enter the next state.
POLYNOMIALS = {4: (0o5, 0o2), 8: (0o13, 0o4), 16: (0o23, 0o4)}
# A chain has about this many rows: the longer it is, the less its fixed start costs.
CHAIN_ROWS = 64
# Sequences whose best paths are found at a time, which bounds the memory of large tables.
MOST_LANES = 1 << 15
# A row is plain if its step is above this many deviations of its weights.
MOST_DEVIATIONS = 1.0


def chains_of(rows: int) -> int:
    """Return the number of chains in each column of a matrix."""
    return max(1, rows // CHAIN_ROWS)


def is_plain_row(w_RC: Tensor, steps_R: Tensor) -> Tensor:
    """Return which rows of a matrix do not follow the trellis. Shapes: (R, C), (R,) -> (R,), bool."""
    return (steps_R.float() > MOST_DEVIATIONS * w_RC.float().std(dim=1)) | (steps_R == 0)


@cache
def next_states(states: int) -> Tensor:
    """Return the state after each state and parity. Shapes: (S, 2), int64."""
    class_polynomial, parity_polynomial = POLYNOMIALS[states]
    state_S = torch.arange(states)
    after_even_S = (state_S >> 1) ^ ((state_S & 1) * (class_polynomial >> 1))
    return torch.stack([after_even_S, after_even_S ^ (parity_polynomial >> 1)], dim=1)


@cache
def branches_into(states: int) -> tuple[Tensor, Tensor]:
    """Return the two states before each state, and the branch (2 class + parity) from them. Shapes: (S, 2), int64."""
    before, branch = torch.empty(2, states, 2, dtype=torch.int64)
    filled = [0] * states
    for state, following in enumerate(next_states(states).tolist()):
        for parity, after in enumerate(following):
            before[after, filled[after]], branch[after, filled[after]] = state, 2 * (state & 1) + parity
            filled[after] += 1
    return before, branch


def classes_of(codes_RC: Tensor, is_plain_R: Tensor, states: int) -> Tensor:
    """Return the class of each code, 0 or 1, which follows from the codes above it. Shapes: (R, C) -> (R, C), int8."""
    chains, table_M = chains_of(len(codes_RC)), next_states(states).flatten()
    classes_RC = torch.empty(codes_RC.shape, dtype=torch.int8)
    state_NC = torch.zeros(chains, codes_RC.size(1), dtype=torch.int64)
    for start in range(0, len(codes_RC), chains):
        parity_NC = codes_RC[start : start + chains].long() & 1
        is_plain_N1 = is_plain_R[start : start + chains, None]
        state_NC = state_NC[: len(parity_NC)]
        classes_RC[start : start + chains] = torch.where(is_plain_N1, 0, state_NC & 1).to(torch.int8)
        state_NC = torch.where(is_plain_N1, state_NC, table_M[2 * state_NC + parity_NC])
    return classes_RC


def trellis_codes(x_RC: Tensor, weight_R: Tensor, is_plain_R: Tensor, states: int) -> tuple[Tensor, Tensor]:
    """Return the codes and points of the path with the least weighted squared error down each column.

    `x_RC` is in steps. Shapes: (..., R, C), (..., R), (..., R) -> (..., R, C) each, in the type of x.
    """
    most_columns = max(1, MOST_LANES * x_RC.size(-2) // (chains_of(x_RC.size(-2)) * x_RC[..., 0].numel()))
    parts = [column_codes(part_RC, weight_R, is_plain_R, states) for part_RC in torch.split(x_RC, most_columns, dim=-1)]
    return torch.cat([codes for codes, _ in parts], dim=-1), torch.cat([points for _, points in parts], dim=-1)


def column_codes(x_RC: Tensor, weight_R: Tensor, is_plain_R: Tensor, states: int) -> tuple[Tensor, Tensor]:
    """Return what `trellis_codes` returns, for columns that are searched at once."""
    rows, chains = x_RC.size(-2), chains_of(x_RC.size(-2))
    length = -(-rows // chains)
    filling = length * chains - rows
    padded = F.pad(x_RC, (0, 0, 0, filling)), F.pad(weight_R, (0, filling))
    x_TL = padded[0].reshape(*x_RC.shape[:-2], length, chains, x_RC.size(-1)).movedim(-3, 0)
    weight_TL = padded[1].reshape(*weight_R.shape[:-1], length, chains).movedim(-2, 0)[..., None].expand(x_TL.shape)
    plain = F.pad(is_plain_R, (0, filling)).reshape(*is_plain_R.shape[:-1], length, chains)
    is_plain_TL = plain.movedim(-2, 0)[..., None].expand(x_TL.shape)
    found = best_path(x_TL.flatten(1), weight_TL.flatten(1), is_plain_TL.flatten(1), states)
    codes_RC, points_RC = (each.view(x_TL.shape).movedim(0, -3).flatten(-3, -2)[..., :rows, :] for each in found)
    return codes_RC, points_RC


def best_path(x_TL: Tensor, weight_TL: Tensor, is_plain_TL: Tensor, states: int) -> tuple[Tensor, Tensor]:
    """Return the codes and points of the best path of each of many sequences. Shapes: (T, L) -> (T, L) each."""
    before_S2, branch_S2 = (each.to(x_TL.device) for each in branches_into(states))
    length, lanes = x_TL.shape
    # The nearest code of each branch: class 0 or 1, then even or odd.
    shift_B1 = torch.tensor([0.0, 0.0, 0.5, 0.5], dtype=x_TL.dtype, device=x_TL.device)[:, None]
    parity_B1 = torch.tensor([0.0, 1.0, 0.0, 1.0], dtype=x_TL.dtype, device=x_TL.device)[:, None]
    codes_TBL = 2 * ((x_TL[:, None] - shift_B1 - parity_B1) / 2).round() + parity_B1
    points_TBL = codes_TBL + shift_B1
    errors_TBL = (x_TL[:, None] - points_TBL).square() * weight_TL[:, None]
    first_S, second_S = branch_S2.unbind(1)
    errors_T2SL = torch.stack([errors_TBL[:, first_S], errors_TBL[:, second_S]], dim=1)
    cost_SL = torch.full((states, lanes), float("inf"), dtype=x_TL.dtype, device=x_TL.device)
    cost_SL[0] = 0.0
    took_second_TSL = torch.empty(length, states, lanes, dtype=torch.bool, device=x_TL.device)
    both_2SL = torch.empty(2, states, lanes, dtype=x_TL.dtype, device=x_TL.device)
    before_N = before_S2.T.flatten()
    step_is_plain, step_has_plain = is_plain_TL.unbind(0), is_plain_TL.any(dim=1).tolist()
    for step in range(length):
        torch.index_select(cost_SL, 0, before_N, out=both_2SL.view(2 * states, lanes))
        both_2SL.add_(errors_T2SL[step])
        torch.lt(both_2SL[1], both_2SL[0], out=took_second_TSL[step])
        best_SL = torch.minimum(both_2SL[0], both_2SL[1])
        cost_SL = torch.where(step_is_plain[step], cost_SL, best_SL) if step_has_plain[step] else best_SL
    state_L = cost_SL.argmin(dim=0)
    branch_TL = torch.empty(length, lanes, dtype=torch.int64, device=x_TL.device)
    before_M, branch_M = before_S2.flatten(), branch_S2.flatten()
    for step in range(length - 1, -1, -1):
        way_L = 2 * state_L + took_second_TSL[step].gather(0, state_L[None])[0]
        branch_TL[step] = branch_M[way_L]
        entered_L = before_M[way_L]
        state_L = torch.where(step_is_plain[step], state_L, entered_L) if step_has_plain[step] else entered_L
    chosen_T1L = branch_TL[:, None]
    codes_TL, points_TL = (each.gather(1, chosen_T1L)[:, 0] for each in (codes_TBL, points_TBL))
    whole_TL = x_TL.round()
    return torch.where(is_plain_TL, whole_TL, codes_TL), torch.where(is_plain_TL, whole_TL, points_TL)
