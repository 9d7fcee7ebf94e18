class Type: ...

class Array(Type):
    def __init__(self, dtype: Type, ndim: int, layout: str, readonly: bool = False) -> None: ...

boolean: Type
float32: Type
float64: Type
int32: Type
int64: Type
uint8: Type
