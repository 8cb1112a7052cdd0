SELECT base, "end" FROM partition WHERE partition = $1;
