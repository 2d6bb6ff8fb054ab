"""The regularised incomplete gamma functions, by series, continued fraction and expansion.

Which is taken where follows W. Gautschi, "A computational procedure for incomplete gamma
functions", ACM TOMS 5 (1979), 466-481, and Cephes' ``igam``. All are of
a length that the dtype decides, and each element takes one of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal, localcontext
from typing import Any, NamedTuple

import numpy as np

from dovetail import dtypes as d
from dovetail.ops.families import PAIRS, draw, same
from dovetail.ops.pointwise.approximations import (
    horner,
    integral,
    special_function,
    valuewise,
    where,
    without_derivative,
)
from dovetail.ops.pointwise.gamma import log_gamma, log_gamma_of_one_plus, stirling_rest
from dovetail.ops.schema import Sample

__all__: list[str] = []

inf, nan = math.inf, math.nan
LARGE = 20.0
"""Above, the uniform expansion serves where x is between a / 2 and 2 * a."""


class _Lengths(NamedTuple):
    """How many terms the last digit needs, wherever each of the ways is taken.

    Attributes:
        series: the most are needed at a = x = 20.
        fraction: at x = 1.1 and small a.
        small: at x = 1.1.
        powers, rows: of eta and of 1 / a in the expansion, at a = 20 and x = a / 2 or 2 * a.
    """

    series: int
    fraction: int
    small: int
    powers: int
    rows: int


_DOUBLE = _Lengths(54, 90, 20, 25, 13)
_SINGLE = _Lengths(31, 30, 11, 11, 5)

_LOG1P = tuple(1 / (2 * k + 3) for k in range(17, -1, -1))

# Coefficients of eta ** n / a ** k. Source: N. M. Temme, "The asymptotic expansion of the
# incomplete gamma functions", SIAM J. Math. Anal. 10 (1979), 757-766; DLMF 8.12.7; as in Cephes'
# ``igam.h``.
_TEMME = (
    (-0.3333333333333333, 0.08333333333333333, -0.014814814814814815, 0.0011574074074074073,
     0.0003527336860670194, -0.0001787551440329218, 3.919263178522438e-05, -2.1854485106799924e-06,
     -1.85406221071516e-06, 8.296711340953087e-07, -1.7665952736826078e-07, 6.707853543401498e-09,
     1.0261809784240309e-08, -4.382036018453353e-09, 9.14769958223679e-10, -2.551419399494625e-11,
     -5.830772132550426e-11, 2.4361948020667415e-11, -5.0276692801141755e-12,
     1.1004392031956135e-13, 3.3717632624009856e-13, -1.392388722418162e-13, 2.8534893807047445e-14,
     -5.139111834242572e-16, -1.9752288294349442e-15),
    (-0.001851851851851852, -0.003472222222222222, 0.0026455026455026454, -0.0009902263374485596,
     0.00020576131687242798, -4.018775720164609e-07, -1.8098550334489977e-05, 7.64916091608111e-06,
     -1.6120900894563446e-06, 4.647127802807434e-09, 1.378633446915721e-07, -5.752545603517705e-08,
     1.1951628599778148e-08, -1.7543241719747647e-11, -1.0091543710600413e-09,
     4.162792991842583e-10, -8.56390702649298e-11, 6.067215101604758e-14, 7.1624989648114856e-12,
     -2.933186643771437e-12, 5.996696365683689e-13, -2.1671786527323313e-16, -4.978339972369262e-14,
     2.0291628823713425e-14, -4.13125571381061e-15),
    (0.004133597883597883, -0.0026813271604938273, 0.0007716049382716049, 2.0093878600823047e-06,
     -0.00010736653226365161, 5.2923448829120125e-05, -1.2760635188618728e-05,
     3.423578734096138e-08, 1.3721957309062932e-06, -6.298992138380055e-07, 1.4280614206064242e-07,
     -2.0477098421990866e-10, -1.409252991086752e-08, 6.228974084922022e-09,
     -1.3670488396617112e-09, 9.428356159014678e-13, 1.2872252400089318e-10,
     -5.5645956134363323e-11, 1.197593554636698e-11, -4.1689782251838634e-15,
     -1.0940640427884595e-12, 4.662239946390136e-13, -9.905105763906907e-14, 1.8931876768373515e-17,
     8.859221872591127e-15),
    (0.0006494341563786008, 0.00022947209362139917, -0.0004691894943952557, 0.00026772063206283885,
     -7.561801671883977e-05, -2.396505113867297e-07, 1.1082654115347302e-05,
     -5.6749528269915965e-06, 1.4230900732435883e-06, -2.7861080291528143e-11,
     -1.6958404091930278e-07, 8.099464905388083e-08, -1.9111168485973655e-08,
     2.3928620439808118e-12, 2.0620131815488797e-09, -9.460496661855133e-10, 2.1541049775774907e-10,
     -1.388823336813903e-14, -2.1894761681963938e-11, 9.790998951171684e-12, -2.178219188018096e-12,
     6.208819573407901e-17, 2.126978363279737e-13, -9.344688791517433e-14, 2.045367122678285e-14),
    (-0.0008618882909167117, 0.0007840392217200666, -0.0002990724803031902, -1.4638452578843418e-06,
     6.641498215465122e-05, -3.968365047179435e-05, 1.1375726970678419e-05, 2.507497226237533e-10,
     -1.6954149536558305e-06, 8.907507532205309e-07, -2.292934834000805e-07, 2.956794137544049e-11,
     2.8865829742708783e-08, -1.4189739437803219e-08, 3.4463580499464896e-09,
     -2.3024517174528067e-13, -3.9409233028046403e-10, 1.86023389685045e-10, -4.356323005056618e-11,
     1.278600101629623e-15, 4.67927502665792e-12, -2.149246470613483e-12, 4.908815614809652e-13,
     -6.33859148489156e-18, -5.045332069080094e-14),
    (-0.00033679855336635813, -6.972813758365858e-05, 0.0002772753244959392,
     -0.00019932570516188847, 6.797780477937208e-05, 1.419062920643967e-07, -1.3594048189768693e-05,
     8.018470256334202e-06, -2.291481176508095e-06, -3.252473551298454e-10, 3.4652846491085265e-07,
     -1.8447187191171344e-07, 4.8240967037894184e-08, -1.7989466721743514e-14,
     -6.306194500013523e-09, 3.162417628774568e-09, -7.840924253697429e-10, 5.192679165254041e-15,
     9.358944242306784e-11, -4.513426216163278e-11, 1.0799129993116828e-11, -3.661886712685252e-17,
     -1.210902069055155e-12, 5.680743584990564e-13, -1.3249659916340829e-13),
    (0.0005313079364639922, -0.0005921664373536939, 0.0002708782096718045, 7.902353232660328e-07,
     -8.153969367561969e-05, 5.61168275310625e-05, -1.8329116582843375e-05, -3.0796134506033047e-09,
     3.465155368803609e-06, -2.0291327396058603e-06, 5.788792863149004e-07, 2.338630673826657e-13,
     -8.828600746330484e-08, 4.7435958880408125e-08, -1.2545415020710382e-08, 8.649648858010293e-14,
     1.6846058979264062e-09, -8.575492823577594e-10, 2.1598224929232125e-10, -7.613230520476153e-16,
     -2.6639822008536144e-11, 1.3065700536611057e-11, -3.1799163902367977e-12,
     4.710976121367431e-18, 3.6902800842763465e-13),
    (0.00034436760689237765, 5.171790908260592e-05, -0.00033493161081142234, 0.0002812695154763237,
     -0.00010976582244684731, -1.2741009095484485e-07, 2.7744451511563645e-05,
     -1.8263488805711332e-05, 5.7876949497350525e-06, 4.93875893393627e-10, -1.0595367014026043e-06,
     6.166714376110408e-07, -1.7562973359060463e-07, -1.297447328701544e-12, 2.695423606288966e-08,
     -1.4578352908731272e-08, 3.887645959386175e-09, -3.881002251019412e-17, -5.327994173877286e-10,
     2.7437977643314844e-10, -6.995796092070568e-11, 2.589986387486848e-17, 8.856689099669639e-12,
     -4.403168815871311e-12, 1.0865561947091654e-12),
    (-0.0006526239185953094, 0.0008394987206720873, -0.000438297098541721, -6.969091458420552e-07,
     0.00016644846642067547, -0.00012783517679769218, 4.629953263691304e-05, 4.557909867922708e-09,
     -1.0595271125805195e-05, 6.783342904865167e-06, -2.1075476666258803e-06,
     -1.7213731432817144e-11, 3.773587741611098e-07, -2.1867506700122867e-07, 6.220228804018927e-08,
     6.597703826733e-16, -9.590386497425686e-09, 5.213214492280807e-09, -1.3991589583935709e-09,
     5.382058999060575e-16, 1.9484714275467745e-10, -1.0127287556389682e-10, 2.6077347197254926e-11,
     -5.090418699993299e-18, -3.3721464474854593e-12),
    (-0.0005967612901927463, -7.204895416020011e-05, 0.0006782308837667328, -0.0006401475260262758,
     0.00027750107634328704, 1.819700838046515e-07, -8.479507117068503e-05, 6.105192082501531e-05,
     -2.1073920183404862e-05, -8.858589014125599e-10, 4.5284535953805374e-06,
     -2.8427815022504407e-06, 8.708234177864641e-07, 3.6886101871706966e-12, -1.534469519070206e-07,
     8.862466778790695e-08, -2.5184812301826817e-08, -1.0225912098215092e-14, 3.896947075815478e-09,
     -2.1267304792235634e-09, 5.737013552805138e-10, -1.887749850169741e-19, -8.093153869465787e-11,
     4.23827232834492e-11, -1.1002224534207727e-11),
    (0.0013324454494800656, -0.0019144384985654776, 0.0011089369134596636, 9.9324041226423e-07,
     -0.0005087450129309319, 0.00042735056665392886, -0.000168588537679108, -8.1301893922785e-09,
     4.5284402370562144e-05, -3.127053674781734e-05, 1.044986828530338e-05, 4.8435226265680926e-11,
     -2.148256587345626e-06, 1.329369701097492e-06, -4.029569309210103e-07, -1.756787766632329e-13,
     7.014504316366825e-08, -4.040787734999483e-08, 1.1474026743371962e-08, 3.9642746853563326e-18,
     -1.7804938269892715e-09, 9.748026254873165e-10, -2.6405338676507616e-10, 5.794875163403742e-18,
     3.764774955354384e-11),
    (0.001579727660730835, 0.00016251626278391583, -0.0020633421035543276, 0.00213896861856891,
     -0.0010108559391263003, -3.99127055299192e-07, 0.0003623502508476469, -0.00028143901463712157,
     0.00010449513336495887, 2.12114184918303e-09, -2.5779417251947842e-05, 1.7281818956040464e-05,
     -5.641377387290428e-06, -1.1024320105776174e-11, 1.1223224418895176e-06,
     -6.869339637952674e-07, 2.0653236975414888e-07, 4.6714772409838506e-14,
     -3.5609886164949055e-08, 2.0470855345905963e-08, -5.809173863328336e-09,
     -1.332821287582869e-16, 9.035460439133513e-10, -4.959878251733084e-10, 1.3481607129399748e-10),
    (-0.004072512119514016, 0.00640336283380807, -0.004041016108167662, -2.183732802866233e-06,
     0.002174044180125464, -0.001970044051841889, 0.0008359546974796246, 1.9445447567109655e-08,
     -0.000257793871204217, 0.00019009987368139304, -6.769649993743896e-05, -1.4440629666426571e-10,
     1.5712512518742267e-05, -1.0304008744776892e-05, 3.304517767401387e-06, 7.982976024232571e-13,
     -6.4097794149313e-07, 3.8894624761300054e-07, -1.161834764494887e-07, -2.816808630596451e-15,
     1.9878012911297094e-08, -1.1407719956357511e-08, 3.2355857064185554e-09, 4.175946829345594e-20,
     -5.042311271810582e-10),
)  # fmt: skip


def _deviance(a: Any, x: Any) -> Any:
    """``x / a - 1 - log(x / a)``, by a series where that cancels (between 1/2 and 2)."""
    gap = (x - a) / a
    ratio = x / a
    s = gap / (gap + 2.0)
    square = s * s
    close = gap * s - square * s * 2.0 * horner(square, _LOG1P)
    return where(ratio.gt(0.5) & ratio.lt(2.0), close, gap - ratio.log())


def _first_term(a: Any, x: Any) -> Any:
    """``x ** a * exp(-x) / gamma(a + 1)``."""
    far = (-a * _deviance(a, x) - stirling_rest(a)).exp() / (a * (2 * math.pi)).sqrt()
    near = (a * x.log() - x - _log_gamma_above(a)).exp()
    return where(a.gt(LARGE), far, near)


def _log_gamma_above(a: Any) -> Any:
    """``lgamma(1 + a)``."""
    return where(a.le(1.0), log_gamma_of_one_plus(a), log_gamma(a + 1.0))


def _lower_series(a: Any, x: Any, terms: int) -> Any:
    """What the first term of the lower function is multiplied with. DLMF 8.11.4."""
    total: Any = 1.0
    for k in range(terms, 0, -1):
        total = total * (x / (a + float(k))) + 1.0
    return total


def _upper_fraction(a: Any, x: Any, terms: int) -> Any:
    """What ``a`` times the first term is divided by for the upper function. DLMF 8.9.2."""
    gap = x - a
    below: Any = inf
    for n in range(terms, 0, -1):
        below = (a * float(n) - float(n * n)) / below + (gap + float(2 * n - 1))
    return below


def _upper_small(a: Any, x: Any, terms: int) -> Any:
    """The upper function for small arguments. DLMF 8.7.3."""
    total: Any = 0.0
    for n in range(terms, 0, -1):
        total = (1.0 / (a + float(n)) + total) * (x * (-1.0 / n))
    power = a * x.log() - _log_gamma_above(a)
    return -power.expm1() - a * power.exp() * total


def _expansion(a: Any, x: Any, powers: int, rows: int) -> tuple[Any, Any]:
    """The lower and the upper function by Temme's uniform expansion."""
    from dovetail import special

    deviance = _deviance(a, x)
    size = (deviance * 2.0).sqrt()
    eta = where(x.lt(a), -size, size)
    each = [horner(eta, row[powers - 1 :: -1]) for row in reversed(_TEMME[:rows])]
    rest = horner(1.0 / a, each)
    rest = rest * (-a * deviance).exp() / (a * (2 * math.pi)).sqrt()
    turn = eta * (a * 0.5).sqrt()
    return special.erfc(-turn) * 0.5 - rest, special.erfc(turn) * 0.5 + rest


def _regularised(a: Any, x: Any) -> tuple[Any, Any]:
    """The lower and the upper function, each by what keeps its digits."""
    from dovetail import ops

    a, x = ops.broadcast_tensors(a, x)
    lengths = _DOUBLE if a._spec.dtype is d.float64 else _SINGLE
    first = _first_term(a, x)
    series = _lower_series(a, x, lengths.series) * first
    beyond = first * a / _upper_fraction(a, x, lengths.fraction)
    upper = where(x.le(1.1), _upper_small(a, x, lengths.small), beyond)
    is_beyond = x.gt(a)
    lower, upper = where(is_beyond, 1.0 - upper, series), where(is_beyond, upper, 1.0 - series)
    is_uniform = a.gt(LARGE) & x.gt(a * 0.5) & x.lt(a * 2.0)
    uniform = _expansion(a, x, lengths.powers, lengths.rows)
    lower, upper = where(is_uniform, uniform[0], lower), where(is_uniform, uniform[1], upper)
    # the edges: at a = 0 all lies below any x, at x = 0 nothing does
    is_defined = a.ge(0) & x.ge(0) & (a.gt(0) | x.gt(0)) & (a.lt(inf) | x.lt(inf))
    all_below = a.eq(0) | x.eq(inf)
    edge = all_below.to(a._spec.dtype)
    usual = a.gt(0) & a.lt(inf) & x.lt(inf)
    lower = where(usual, lower, where(is_defined, edge, nan))
    return lower, where(usual, upper, where(is_defined, 1.0 - edge, nan))


def _density(a: Any, x: Any) -> Any:
    return ((a - 1.0) * x.log() - x - a.lgamma()).exp()


def _lower_value(a: float, x: float) -> float:
    """By the power series up to ``a + 1``, whose terms are all positive."""
    edge = _edge(a, x)
    if edge is not None:
        return edge
    if x > a + 1:
        return 1 - _upper_value(a, x)
    term = total = 1.0
    k = 0
    while term > 1e-18 * total:
        k += 1
        term *= x / (a + k)
        total += term
    return _size(a, x) / a * total


_TAU = Decimal("6.28318530717958647692528676655900576839433879875021")


def _size(a: float, x: float) -> float:
    """``x ** a * exp(-x) / gamma(a)``, its logarithm with the digits that cancel. DLMF 5.11.1."""
    if a < 100 and x < 400:
        return x**a * math.exp(-x) / math.gamma(a)
    with localcontext() as context:
        context.prec = 80
        whole, steps = Decimal(a), max(0, 100 - math.floor(a))
        far = whole + steps
        rest = 1 / far / 12 - 1 / far**3 / 360 + 1 / far**5 / 1260 - 1 / far**7 / 1680
        log = far * far.ln() - far + rest - (far / _TAU).ln() / 2
        log -= sum((whole + k).ln() for k in range(steps))
        return float((whole * Decimal(x).ln() - Decimal(x) - log).exp())


def _edge(a: float, x: float) -> float | None:
    if a < 0 or x < 0 or (a == 0 and x == 0) or (math.isinf(a) and math.isinf(x)):
        return nan
    if a == 0 or math.isinf(x):
        return 1.0
    return 0.0 if x == 0 or math.isinf(a) else None


def _upper_value(a: float, x: float) -> float:
    """By integrating, where taking the lower from 1 would lose digits."""
    edge = _edge(a, x)
    if edge is not None:
        return 1 - edge
    if x <= a + 1:
        lower = _lower_value(a, x)
        if lower < 0.5:
            return 1 - lower
    end = math.log((max(a, x) + 40 * math.sqrt(a + 1) + 760) / x)  # t = x * exp(v)
    return _size(a, x) * integral(lambda v: np.exp(a * v - x * np.expm1(v)), 0.0, end, 200)


def _samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    made = [Sample((draw(rng, a, dtype, 0.2, 9), draw(rng, b, dtype, 0.2, 12))) for a, b in PAIRS]
    whole = lambda *values: np.array(values).astype(dtype.numpy)
    a = whole(30, 30, 30, 25, 100, 64, 0.5, 0.01, 1.5, 19, 21, 0.05)
    x = whole(22, 30, 41, 4, 260, 70, 0.25, 1.05, 1.25, 60, 73, 2.1)
    made.append(Sample((a, x), name="every way"))
    if dtype in (d.float64, d.float32):
        made.append(Sample((whole(1e4, 1e35), whole(9.8e3, 1e-35)), name="large and small"))
    return made


def _define(
    name: str, which: int, gradient: Callable[..., Any], reference: Callable[..., float], doc: str
) -> None:
    special_function(
        name,
        lambda input, other: _regularised(input, other)[which],
        inputs=("input", "other"),
        public=True,
        tensors_only=True,
        rule=same,
        accepts=d.FLOATING,
        gradient={
            "input": without_derivative(f"{name}: input"),
            "other": gradient,
        },
        reference=valuewise(reference),
        samples=_samples,
        special=(0.0, 0.25, 1.0, 1.05, 2.5, 10.0, 19.0, 32.0, 45.0, -1.0, inf, nan),
        ulp=256,
        doc=doc,
    )


_define(
    "igamma", 0, lambda g, input, other: g * _density(input, other), _lower_value,
    "The regularised lower incomplete gamma function: P(``input``, ``other``).",
)  # fmt: skip
_define(
    "igammac", 1, lambda g, input, other: g * -_density(input, other), _upper_value,
    "The regularised upper incomplete gamma function: 1 - :func:`dovetail.igamma`.",
)  # fmt: skip
