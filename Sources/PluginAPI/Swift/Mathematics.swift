internal import CPluginAPI

@inline(__always) public func exp(_ x: Double) -> Double { nr_exp(x) }
@inline(__always) public func log(_ x: Double) -> Double { nr_log(x) }
@inline(__always) public func pow(_ x: Double, _ y: Double) -> Double { nr_pow(x, y) }
@inline(__always) public func tanh(_ x: Double) -> Double { nr_tanh(x) }
@inline(__always) public func sqrt(_ x: Double) -> Double { x.squareRoot() }
