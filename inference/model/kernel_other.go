//go:build !amd64

package model

// haveKernel is false: this machine serves with Plan.
const haveKernel = false

func affine4x16(int, *float32, int, *float32, *float32, *float32, int, int) { panic("no kernel") }
func affine1x64(int, *float32, *float32, int, *float32, *float32, int)      { panic("no kernel") }
