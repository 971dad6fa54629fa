// SPDX-License-Identifier: MIT
/*
 * Preprocessor loops for mallocgc/declare.h: MGC_FEA(m, c, x1, ... xn) expands to
 * m(c, n, x1) ... m(c, 1, xn), for n of 1 to 48; each x has another number. MGC_FEB,
 * MGC_FEC and MGC_FED do the same inside an expansion of the one before, which
 * cannot expand again there; C and D go up to 24. Written as chains because they expand in one pass: the rescanning trick
 * costs tens of milliseconds for each declared type.
 */
#ifndef MALLOCGC_PP_H
#define MALLOCGC_PP_H

/* clang-format off */
#define MGC_PP_CAT(a, b) MGC_PP_CAT_(a, b)
#define MGC_PP_CAT_(a, b) a##b
#define MGC_PP_STRIP(...) __VA_ARGS__

/* 1 when x is a parenthesised tuple, else 0. */
#define MGC_PP_IS_TUPLE(x) MGC_PP_SECOND(MGC_PP_PROBE x, 0, ~)
#define MGC_PP_SECOND(...) MGC_PP_SECOND_(__VA_ARGS__)
#define MGC_PP_SECOND_(a, b, ...) b
#define MGC_PP_PROBE(...) ~, 1

/* The number of arguments, 1 to 48. */
#define MGC_PP_N(...)                                                          \
  MGC_PP_N_(__VA_ARGS__,                                                       \
            48, 47, 46, 45, 44, 43, 42, 41, 40, 39, 38, 37, 36, 35, 34, 33,    \
            32, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17,    \
            16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, ~)
#define MGC_PP_N_(                                                             \
            a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14,       \
            a15, a16, a17, a18, a19, a20, a21, a22, a23, a24, a25, a26,        \
            a27, a28, a29, a30, a31, a32, a33, a34, a35, a36, a37, a38,        \
            a39, a40, a41, a42, a43, a44, a45, a46, a47, a48, n, ...) n

#define MGC_FEA_1(m, c, x) m(c, 1, x)
#define MGC_FEA_2(m, c, x, ...)                                                \
  m(c, 2, x) MGC_FEA_1(m, c, __VA_ARGS__)
#define MGC_FEA_3(m, c, x, ...)                                                \
  m(c, 3, x) MGC_FEA_2(m, c, __VA_ARGS__)
#define MGC_FEA_4(m, c, x, ...)                                                \
  m(c, 4, x) MGC_FEA_3(m, c, __VA_ARGS__)
#define MGC_FEA_5(m, c, x, ...)                                                \
  m(c, 5, x) MGC_FEA_4(m, c, __VA_ARGS__)
#define MGC_FEA_6(m, c, x, ...)                                                \
  m(c, 6, x) MGC_FEA_5(m, c, __VA_ARGS__)
#define MGC_FEA_7(m, c, x, ...)                                                \
  m(c, 7, x) MGC_FEA_6(m, c, __VA_ARGS__)
#define MGC_FEA_8(m, c, x, ...)                                                \
  m(c, 8, x) MGC_FEA_7(m, c, __VA_ARGS__)
#define MGC_FEA_9(m, c, x, ...)                                                \
  m(c, 9, x) MGC_FEA_8(m, c, __VA_ARGS__)
#define MGC_FEA_10(m, c, x, ...)                                               \
  m(c, 10, x) MGC_FEA_9(m, c, __VA_ARGS__)
#define MGC_FEA_11(m, c, x, ...)                                               \
  m(c, 11, x) MGC_FEA_10(m, c, __VA_ARGS__)
#define MGC_FEA_12(m, c, x, ...)                                               \
  m(c, 12, x) MGC_FEA_11(m, c, __VA_ARGS__)
#define MGC_FEA_13(m, c, x, ...)                                               \
  m(c, 13, x) MGC_FEA_12(m, c, __VA_ARGS__)
#define MGC_FEA_14(m, c, x, ...)                                               \
  m(c, 14, x) MGC_FEA_13(m, c, __VA_ARGS__)
#define MGC_FEA_15(m, c, x, ...)                                               \
  m(c, 15, x) MGC_FEA_14(m, c, __VA_ARGS__)
#define MGC_FEA_16(m, c, x, ...)                                               \
  m(c, 16, x) MGC_FEA_15(m, c, __VA_ARGS__)
#define MGC_FEA_17(m, c, x, ...)                                               \
  m(c, 17, x) MGC_FEA_16(m, c, __VA_ARGS__)
#define MGC_FEA_18(m, c, x, ...)                                               \
  m(c, 18, x) MGC_FEA_17(m, c, __VA_ARGS__)
#define MGC_FEA_19(m, c, x, ...)                                               \
  m(c, 19, x) MGC_FEA_18(m, c, __VA_ARGS__)
#define MGC_FEA_20(m, c, x, ...)                                               \
  m(c, 20, x) MGC_FEA_19(m, c, __VA_ARGS__)
#define MGC_FEA_21(m, c, x, ...)                                               \
  m(c, 21, x) MGC_FEA_20(m, c, __VA_ARGS__)
#define MGC_FEA_22(m, c, x, ...)                                               \
  m(c, 22, x) MGC_FEA_21(m, c, __VA_ARGS__)
#define MGC_FEA_23(m, c, x, ...)                                               \
  m(c, 23, x) MGC_FEA_22(m, c, __VA_ARGS__)
#define MGC_FEA_24(m, c, x, ...)                                               \
  m(c, 24, x) MGC_FEA_23(m, c, __VA_ARGS__)
#define MGC_FEA_25(m, c, x, ...)                                               \
  m(c, 25, x) MGC_FEA_24(m, c, __VA_ARGS__)
#define MGC_FEA_26(m, c, x, ...)                                               \
  m(c, 26, x) MGC_FEA_25(m, c, __VA_ARGS__)
#define MGC_FEA_27(m, c, x, ...)                                               \
  m(c, 27, x) MGC_FEA_26(m, c, __VA_ARGS__)
#define MGC_FEA_28(m, c, x, ...)                                               \
  m(c, 28, x) MGC_FEA_27(m, c, __VA_ARGS__)
#define MGC_FEA_29(m, c, x, ...)                                               \
  m(c, 29, x) MGC_FEA_28(m, c, __VA_ARGS__)
#define MGC_FEA_30(m, c, x, ...)                                               \
  m(c, 30, x) MGC_FEA_29(m, c, __VA_ARGS__)
#define MGC_FEA_31(m, c, x, ...)                                               \
  m(c, 31, x) MGC_FEA_30(m, c, __VA_ARGS__)
#define MGC_FEA_32(m, c, x, ...)                                               \
  m(c, 32, x) MGC_FEA_31(m, c, __VA_ARGS__)
#define MGC_FEA_33(m, c, x, ...)                                               \
  m(c, 33, x) MGC_FEA_32(m, c, __VA_ARGS__)
#define MGC_FEA_34(m, c, x, ...)                                               \
  m(c, 34, x) MGC_FEA_33(m, c, __VA_ARGS__)
#define MGC_FEA_35(m, c, x, ...)                                               \
  m(c, 35, x) MGC_FEA_34(m, c, __VA_ARGS__)
#define MGC_FEA_36(m, c, x, ...)                                               \
  m(c, 36, x) MGC_FEA_35(m, c, __VA_ARGS__)
#define MGC_FEA_37(m, c, x, ...)                                               \
  m(c, 37, x) MGC_FEA_36(m, c, __VA_ARGS__)
#define MGC_FEA_38(m, c, x, ...)                                               \
  m(c, 38, x) MGC_FEA_37(m, c, __VA_ARGS__)
#define MGC_FEA_39(m, c, x, ...)                                               \
  m(c, 39, x) MGC_FEA_38(m, c, __VA_ARGS__)
#define MGC_FEA_40(m, c, x, ...)                                               \
  m(c, 40, x) MGC_FEA_39(m, c, __VA_ARGS__)
#define MGC_FEA_41(m, c, x, ...)                                               \
  m(c, 41, x) MGC_FEA_40(m, c, __VA_ARGS__)
#define MGC_FEA_42(m, c, x, ...)                                               \
  m(c, 42, x) MGC_FEA_41(m, c, __VA_ARGS__)
#define MGC_FEA_43(m, c, x, ...)                                               \
  m(c, 43, x) MGC_FEA_42(m, c, __VA_ARGS__)
#define MGC_FEA_44(m, c, x, ...)                                               \
  m(c, 44, x) MGC_FEA_43(m, c, __VA_ARGS__)
#define MGC_FEA_45(m, c, x, ...)                                               \
  m(c, 45, x) MGC_FEA_44(m, c, __VA_ARGS__)
#define MGC_FEA_46(m, c, x, ...)                                               \
  m(c, 46, x) MGC_FEA_45(m, c, __VA_ARGS__)
#define MGC_FEA_47(m, c, x, ...)                                               \
  m(c, 47, x) MGC_FEA_46(m, c, __VA_ARGS__)
#define MGC_FEA_48(m, c, x, ...)                                               \
  m(c, 48, x) MGC_FEA_47(m, c, __VA_ARGS__)
#define MGC_FEA(m, c, ...)                                                     \
  MGC_PP_CAT(MGC_FEA_, MGC_PP_N(__VA_ARGS__))                              \
  (m, c, __VA_ARGS__)

#define MGC_FEB_1(m, c, x) m(c, 1, x)
#define MGC_FEB_2(m, c, x, ...)                                                \
  m(c, 2, x) MGC_FEB_1(m, c, __VA_ARGS__)
#define MGC_FEB_3(m, c, x, ...)                                                \
  m(c, 3, x) MGC_FEB_2(m, c, __VA_ARGS__)
#define MGC_FEB_4(m, c, x, ...)                                                \
  m(c, 4, x) MGC_FEB_3(m, c, __VA_ARGS__)
#define MGC_FEB_5(m, c, x, ...)                                                \
  m(c, 5, x) MGC_FEB_4(m, c, __VA_ARGS__)
#define MGC_FEB_6(m, c, x, ...)                                                \
  m(c, 6, x) MGC_FEB_5(m, c, __VA_ARGS__)
#define MGC_FEB_7(m, c, x, ...)                                                \
  m(c, 7, x) MGC_FEB_6(m, c, __VA_ARGS__)
#define MGC_FEB_8(m, c, x, ...)                                                \
  m(c, 8, x) MGC_FEB_7(m, c, __VA_ARGS__)
#define MGC_FEB_9(m, c, x, ...)                                                \
  m(c, 9, x) MGC_FEB_8(m, c, __VA_ARGS__)
#define MGC_FEB_10(m, c, x, ...)                                               \
  m(c, 10, x) MGC_FEB_9(m, c, __VA_ARGS__)
#define MGC_FEB_11(m, c, x, ...)                                               \
  m(c, 11, x) MGC_FEB_10(m, c, __VA_ARGS__)
#define MGC_FEB_12(m, c, x, ...)                                               \
  m(c, 12, x) MGC_FEB_11(m, c, __VA_ARGS__)
#define MGC_FEB_13(m, c, x, ...)                                               \
  m(c, 13, x) MGC_FEB_12(m, c, __VA_ARGS__)
#define MGC_FEB_14(m, c, x, ...)                                               \
  m(c, 14, x) MGC_FEB_13(m, c, __VA_ARGS__)
#define MGC_FEB_15(m, c, x, ...)                                               \
  m(c, 15, x) MGC_FEB_14(m, c, __VA_ARGS__)
#define MGC_FEB_16(m, c, x, ...)                                               \
  m(c, 16, x) MGC_FEB_15(m, c, __VA_ARGS__)
#define MGC_FEB_17(m, c, x, ...)                                               \
  m(c, 17, x) MGC_FEB_16(m, c, __VA_ARGS__)
#define MGC_FEB_18(m, c, x, ...)                                               \
  m(c, 18, x) MGC_FEB_17(m, c, __VA_ARGS__)
#define MGC_FEB_19(m, c, x, ...)                                               \
  m(c, 19, x) MGC_FEB_18(m, c, __VA_ARGS__)
#define MGC_FEB_20(m, c, x, ...)                                               \
  m(c, 20, x) MGC_FEB_19(m, c, __VA_ARGS__)
#define MGC_FEB_21(m, c, x, ...)                                               \
  m(c, 21, x) MGC_FEB_20(m, c, __VA_ARGS__)
#define MGC_FEB_22(m, c, x, ...)                                               \
  m(c, 22, x) MGC_FEB_21(m, c, __VA_ARGS__)
#define MGC_FEB_23(m, c, x, ...)                                               \
  m(c, 23, x) MGC_FEB_22(m, c, __VA_ARGS__)
#define MGC_FEB_24(m, c, x, ...)                                               \
  m(c, 24, x) MGC_FEB_23(m, c, __VA_ARGS__)
#define MGC_FEB_25(m, c, x, ...)                                               \
  m(c, 25, x) MGC_FEB_24(m, c, __VA_ARGS__)
#define MGC_FEB_26(m, c, x, ...)                                               \
  m(c, 26, x) MGC_FEB_25(m, c, __VA_ARGS__)
#define MGC_FEB_27(m, c, x, ...)                                               \
  m(c, 27, x) MGC_FEB_26(m, c, __VA_ARGS__)
#define MGC_FEB_28(m, c, x, ...)                                               \
  m(c, 28, x) MGC_FEB_27(m, c, __VA_ARGS__)
#define MGC_FEB_29(m, c, x, ...)                                               \
  m(c, 29, x) MGC_FEB_28(m, c, __VA_ARGS__)
#define MGC_FEB_30(m, c, x, ...)                                               \
  m(c, 30, x) MGC_FEB_29(m, c, __VA_ARGS__)
#define MGC_FEB_31(m, c, x, ...)                                               \
  m(c, 31, x) MGC_FEB_30(m, c, __VA_ARGS__)
#define MGC_FEB_32(m, c, x, ...)                                               \
  m(c, 32, x) MGC_FEB_31(m, c, __VA_ARGS__)
#define MGC_FEB_33(m, c, x, ...)                                               \
  m(c, 33, x) MGC_FEB_32(m, c, __VA_ARGS__)
#define MGC_FEB_34(m, c, x, ...)                                               \
  m(c, 34, x) MGC_FEB_33(m, c, __VA_ARGS__)
#define MGC_FEB_35(m, c, x, ...)                                               \
  m(c, 35, x) MGC_FEB_34(m, c, __VA_ARGS__)
#define MGC_FEB_36(m, c, x, ...)                                               \
  m(c, 36, x) MGC_FEB_35(m, c, __VA_ARGS__)
#define MGC_FEB_37(m, c, x, ...)                                               \
  m(c, 37, x) MGC_FEB_36(m, c, __VA_ARGS__)
#define MGC_FEB_38(m, c, x, ...)                                               \
  m(c, 38, x) MGC_FEB_37(m, c, __VA_ARGS__)
#define MGC_FEB_39(m, c, x, ...)                                               \
  m(c, 39, x) MGC_FEB_38(m, c, __VA_ARGS__)
#define MGC_FEB_40(m, c, x, ...)                                               \
  m(c, 40, x) MGC_FEB_39(m, c, __VA_ARGS__)
#define MGC_FEB_41(m, c, x, ...)                                               \
  m(c, 41, x) MGC_FEB_40(m, c, __VA_ARGS__)
#define MGC_FEB_42(m, c, x, ...)                                               \
  m(c, 42, x) MGC_FEB_41(m, c, __VA_ARGS__)
#define MGC_FEB_43(m, c, x, ...)                                               \
  m(c, 43, x) MGC_FEB_42(m, c, __VA_ARGS__)
#define MGC_FEB_44(m, c, x, ...)                                               \
  m(c, 44, x) MGC_FEB_43(m, c, __VA_ARGS__)
#define MGC_FEB_45(m, c, x, ...)                                               \
  m(c, 45, x) MGC_FEB_44(m, c, __VA_ARGS__)
#define MGC_FEB_46(m, c, x, ...)                                               \
  m(c, 46, x) MGC_FEB_45(m, c, __VA_ARGS__)
#define MGC_FEB_47(m, c, x, ...)                                               \
  m(c, 47, x) MGC_FEB_46(m, c, __VA_ARGS__)
#define MGC_FEB_48(m, c, x, ...)                                               \
  m(c, 48, x) MGC_FEB_47(m, c, __VA_ARGS__)
#define MGC_FEB(m, c, ...)                                                     \
  MGC_PP_CAT(MGC_FEB_, MGC_PP_N(__VA_ARGS__))                              \
  (m, c, __VA_ARGS__)

#define MGC_FEC_1(m, c, x) m(c, 1, x)
#define MGC_FEC_2(m, c, x, ...)                                                \
  m(c, 2, x) MGC_FEC_1(m, c, __VA_ARGS__)
#define MGC_FEC_3(m, c, x, ...)                                                \
  m(c, 3, x) MGC_FEC_2(m, c, __VA_ARGS__)
#define MGC_FEC_4(m, c, x, ...)                                                \
  m(c, 4, x) MGC_FEC_3(m, c, __VA_ARGS__)
#define MGC_FEC_5(m, c, x, ...)                                                \
  m(c, 5, x) MGC_FEC_4(m, c, __VA_ARGS__)
#define MGC_FEC_6(m, c, x, ...)                                                \
  m(c, 6, x) MGC_FEC_5(m, c, __VA_ARGS__)
#define MGC_FEC_7(m, c, x, ...)                                                \
  m(c, 7, x) MGC_FEC_6(m, c, __VA_ARGS__)
#define MGC_FEC_8(m, c, x, ...)                                                \
  m(c, 8, x) MGC_FEC_7(m, c, __VA_ARGS__)
#define MGC_FEC_9(m, c, x, ...)                                                \
  m(c, 9, x) MGC_FEC_8(m, c, __VA_ARGS__)
#define MGC_FEC_10(m, c, x, ...)                                               \
  m(c, 10, x) MGC_FEC_9(m, c, __VA_ARGS__)
#define MGC_FEC_11(m, c, x, ...)                                               \
  m(c, 11, x) MGC_FEC_10(m, c, __VA_ARGS__)
#define MGC_FEC_12(m, c, x, ...)                                               \
  m(c, 12, x) MGC_FEC_11(m, c, __VA_ARGS__)
#define MGC_FEC_13(m, c, x, ...)                                               \
  m(c, 13, x) MGC_FEC_12(m, c, __VA_ARGS__)
#define MGC_FEC_14(m, c, x, ...)                                               \
  m(c, 14, x) MGC_FEC_13(m, c, __VA_ARGS__)
#define MGC_FEC_15(m, c, x, ...)                                               \
  m(c, 15, x) MGC_FEC_14(m, c, __VA_ARGS__)
#define MGC_FEC_16(m, c, x, ...)                                               \
  m(c, 16, x) MGC_FEC_15(m, c, __VA_ARGS__)
#define MGC_FEC_17(m, c, x, ...)                                               \
  m(c, 17, x) MGC_FEC_16(m, c, __VA_ARGS__)
#define MGC_FEC_18(m, c, x, ...)                                               \
  m(c, 18, x) MGC_FEC_17(m, c, __VA_ARGS__)
#define MGC_FEC_19(m, c, x, ...)                                               \
  m(c, 19, x) MGC_FEC_18(m, c, __VA_ARGS__)
#define MGC_FEC_20(m, c, x, ...)                                               \
  m(c, 20, x) MGC_FEC_19(m, c, __VA_ARGS__)
#define MGC_FEC_21(m, c, x, ...)                                               \
  m(c, 21, x) MGC_FEC_20(m, c, __VA_ARGS__)
#define MGC_FEC_22(m, c, x, ...)                                               \
  m(c, 22, x) MGC_FEC_21(m, c, __VA_ARGS__)
#define MGC_FEC_23(m, c, x, ...)                                               \
  m(c, 23, x) MGC_FEC_22(m, c, __VA_ARGS__)
#define MGC_FEC_24(m, c, x, ...)                                               \
  m(c, 24, x) MGC_FEC_23(m, c, __VA_ARGS__)
#define MGC_FEC(m, c, ...)                                                     \
  MGC_PP_CAT(MGC_FEC_, MGC_PP_N(__VA_ARGS__))                              \
  (m, c, __VA_ARGS__)

#define MGC_FED_1(m, c, x) m(c, 1, x)
#define MGC_FED_2(m, c, x, ...)                                                \
  m(c, 2, x) MGC_FED_1(m, c, __VA_ARGS__)
#define MGC_FED_3(m, c, x, ...)                                                \
  m(c, 3, x) MGC_FED_2(m, c, __VA_ARGS__)
#define MGC_FED_4(m, c, x, ...)                                                \
  m(c, 4, x) MGC_FED_3(m, c, __VA_ARGS__)
#define MGC_FED_5(m, c, x, ...)                                                \
  m(c, 5, x) MGC_FED_4(m, c, __VA_ARGS__)
#define MGC_FED_6(m, c, x, ...)                                                \
  m(c, 6, x) MGC_FED_5(m, c, __VA_ARGS__)
#define MGC_FED_7(m, c, x, ...)                                                \
  m(c, 7, x) MGC_FED_6(m, c, __VA_ARGS__)
#define MGC_FED_8(m, c, x, ...)                                                \
  m(c, 8, x) MGC_FED_7(m, c, __VA_ARGS__)
#define MGC_FED_9(m, c, x, ...)                                                \
  m(c, 9, x) MGC_FED_8(m, c, __VA_ARGS__)
#define MGC_FED_10(m, c, x, ...)                                               \
  m(c, 10, x) MGC_FED_9(m, c, __VA_ARGS__)
#define MGC_FED_11(m, c, x, ...)                                               \
  m(c, 11, x) MGC_FED_10(m, c, __VA_ARGS__)
#define MGC_FED_12(m, c, x, ...)                                               \
  m(c, 12, x) MGC_FED_11(m, c, __VA_ARGS__)
#define MGC_FED_13(m, c, x, ...)                                               \
  m(c, 13, x) MGC_FED_12(m, c, __VA_ARGS__)
#define MGC_FED_14(m, c, x, ...)                                               \
  m(c, 14, x) MGC_FED_13(m, c, __VA_ARGS__)
#define MGC_FED_15(m, c, x, ...)                                               \
  m(c, 15, x) MGC_FED_14(m, c, __VA_ARGS__)
#define MGC_FED_16(m, c, x, ...)                                               \
  m(c, 16, x) MGC_FED_15(m, c, __VA_ARGS__)
#define MGC_FED_17(m, c, x, ...)                                               \
  m(c, 17, x) MGC_FED_16(m, c, __VA_ARGS__)
#define MGC_FED_18(m, c, x, ...)                                               \
  m(c, 18, x) MGC_FED_17(m, c, __VA_ARGS__)
#define MGC_FED_19(m, c, x, ...)                                               \
  m(c, 19, x) MGC_FED_18(m, c, __VA_ARGS__)
#define MGC_FED_20(m, c, x, ...)                                               \
  m(c, 20, x) MGC_FED_19(m, c, __VA_ARGS__)
#define MGC_FED_21(m, c, x, ...)                                               \
  m(c, 21, x) MGC_FED_20(m, c, __VA_ARGS__)
#define MGC_FED_22(m, c, x, ...)                                               \
  m(c, 22, x) MGC_FED_21(m, c, __VA_ARGS__)
#define MGC_FED_23(m, c, x, ...)                                               \
  m(c, 23, x) MGC_FED_22(m, c, __VA_ARGS__)
#define MGC_FED_24(m, c, x, ...)                                               \
  m(c, 24, x) MGC_FED_23(m, c, __VA_ARGS__)
#define MGC_FED(m, c, ...)                                                     \
  MGC_PP_CAT(MGC_FED_, MGC_PP_N(__VA_ARGS__))                              \
  (m, c, __VA_ARGS__)
/* clang-format on */

#endif
