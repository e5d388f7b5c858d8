// Empty: with a file of assembly in the package, the compiler accepts the function without a body in controller.go.
