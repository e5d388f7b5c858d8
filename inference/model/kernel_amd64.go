package model

import "golang.org/x/sys/cpu"

// haveKernel says whether the machine can run the kernels of kernel_amd64.s.
var haveKernel = cpu.X86.HasAVX2 && cpu.X86.HasFMA

// affine4x16 computes, for four rows of x that are xBytes apart and one panel w of k inputs by 16 outputs,
// y = bias + x·w, clipped at 0 if relu is not 0, into four rows of y that are yBytes apart. Strides of 0 are allowed.
//
//go:noescape
func affine4x16(k int, x *float32, xBytes int, w, bias, y *float32, yBytes, relu int)

// affine1x64 does the same for one row and four panels that are panelBytes apart.
//
//go:noescape
func affine1x64(k int, x, w *float32, panelBytes int, bias, y *float32, relu int)
